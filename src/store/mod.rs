//! Object stores by URL, and the names of all that is written.

pub mod paths;
