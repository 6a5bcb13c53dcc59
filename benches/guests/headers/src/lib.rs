//! A filter that reads three headers and adds one.

use wasmilter_sdk::{Verdict, export, header};

export!(message = check);

fn check() -> Verdict {
    let octets: usize = ["From", "To", "Subject"]
        .iter()
        .flat_map(|name| header::get(name))
        .map(|value| value.len())
        .sum();
    header::add("X-Octets", &octets.to_string());
    Verdict::Continue
}
