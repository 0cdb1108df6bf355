//! JSON as bytes: vectorised scanning without a tree.
//!
//! ```text
//! members   where an object's members lie, for a caller that needs a few of them
//! skip      values that nothing takes: checked to be JSON, but not kept
//! text      strings: copied without their escapes, or only checked
//! number    numbers, eight digits at a time
//! input     bytes at a position, zeros after the end
//! cpu       the machine's vector instructions
//! ```

pub(crate) mod cpu;
pub(crate) mod input;
pub(crate) mod members;
pub(crate) mod number;
pub(crate) mod skip;
pub(crate) mod text;

pub use cpu::Cpu;
pub use members::{SCAN_PADDING, Span, scan_members};
