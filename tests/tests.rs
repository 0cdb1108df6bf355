//! The only integration binary: each further one would link DataFusion again.

mod slt;
