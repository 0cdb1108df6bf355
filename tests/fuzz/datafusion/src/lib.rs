//! Arrow under the name by which the decoder knows it.

pub use arrow;
