//! Tests of the MIME modules together.
//! What one module does alone is tested beside it.

mod corpus;
mod fields;
mod reading;
mod rebuild;
mod structure;
