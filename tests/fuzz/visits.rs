//! As much of `visits` as reading events needs.

#[path = "../../src/visits/advance.rs"]
mod advance;
#[path = "../../src/visits/attribution.rs"]
mod attribution;
#[path = "../../src/visits/counted.rs"]
mod counted;
#[path = "../../src/visits/ids.rs"]
mod ids;
#[path = "../../src/visits/record.rs"]
mod record;

pub use advance::*;
pub use attribution::*;
pub use counted::*;
pub use ids::*;
pub use record::*;
