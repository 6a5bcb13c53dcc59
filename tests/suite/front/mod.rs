//! The front door as a whole server has it: certificates, ACME, metrics, and who may come in by IMAP.

mod acme;
mod certificates;
mod descriptors;
mod imap;
mod metrics;
mod tls;
