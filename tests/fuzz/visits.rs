//! As much of `visits` as reading events needs.

#[path = "../../src/collector/visits/advance.rs"]
mod advance;
#[path = "../../src/collector/visits/attribution.rs"]
mod attribution;
#[path = "../../src/collector/visits/counted.rs"]
mod counted;
#[path = "../../src/collector/visits/record.rs"]
mod record;

pub use advance::*;
pub use attribution::*;
pub use counted::*;
pub use record::*;
