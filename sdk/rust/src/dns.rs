//! The domain name system. Answers are cached for their TTL, all filters' together; 1 second and 20 calls a hook at the most.
//!
//! A refusal `Failed` says that nobody answered: take that for no answer, never for a good one.
//!
//! ```no_run
//! use wasmilter_sdk::{dns, export, score, session};
//!
//! export!(message = check);
//!
//! fn check() {
//!     let address = session::client_address();
//!     let listed = dns::listed("zen.example.org", &address).unwrap_or_default();
//!     // 127.255.255.0/24 is how many lists say that they do not answer this resolver.
//!     if listed.iter().any(|code| !code.starts_with("127.255.255.")) {
//!         score::add("LISTED", 3.0, &format!("zen.example.org lists {address}"));
//!     }
//! }
//! ```

use crate::Refusal;
use crate::bindings::dns::{self, Kind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 addresses of a name; empty where there are none.
pub fn a(name: &str) -> Result<Vec<Ipv4Addr>, Refusal> {
    parsed(dns::lookup(name, Kind::A))
}

/// IPv6 addresses of a name.
pub fn aaaa(name: &str) -> Result<Vec<Ipv6Addr>, Refusal> {
    parsed(dns::lookup(name, Kind::Aaaa))
}

/// Mail exchangers of a domain with their preferences, the most wanted first. The name is empty where the domain takes no mail (RFC 7505).
pub fn mx(name: &str) -> Result<Vec<(u16, String)>, Refusal> {
    let records = dns::lookup(name, Kind::Mx)?;
    let mut exchangers: Vec<_> = records
        .iter()
        .filter_map(|record| {
            let (preference, name) = record.split_once(' ').unwrap_or((record, ""));
            Some((
                preference.parse().ok()?,
                name.trim_end_matches('.').to_owned(),
            ))
        })
        .collect();
    exchangers.sort();
    Ok(exchangers)
}

/// TXT records of a name, the strings of each joined.
pub fn txt(name: &str) -> Result<Vec<String>, Refusal> {
    dns::lookup(name, Kind::Txt)
}

/// Names of an address.
pub fn ptr(address: IpAddr) -> Result<Vec<String>, Refusal> {
    dns::lookup(&address.to_string(), Kind::Ptr)
}

/// Ask a DNS list (RFC 5782) for an IP address or a domain: its codes in 127.0.0.0/8, empty if it is not listed.
pub fn listed(zone: &str, what: &str) -> Result<Vec<String>, Refusal> {
    dns::listed(zone, what)
}

fn parsed<T: std::str::FromStr>(records: Result<Vec<String>, Refusal>) -> Result<Vec<T>, Refusal> {
    let records = records?;
    Ok(records
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect())
}
