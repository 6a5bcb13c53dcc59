//! The contract, version 0.1, as the host implements it. The generated types stay in here.

mod answer;
mod call;
mod host;

pub use answer::LoadAnswer;
pub use call::Function;

use super::state::State;
use wasmtime::component::{HasSelf, Linker};

/// What `bindgen!` makes of `sdk/wit`.
#[allow(unsafe_code, clippy::all)]
mod generated {
    wasmtime::component::bindgen!({
        path: "sdk/wit",
        inline: "package wasmilter:host; world all { include wasmilter:filter/abilities@0.1.1; export wasmilter:filter/on-outcome@0.1.1; export wasmilter:filter/on-moved@0.1.1; }",
        world: "wasmilter:host/all",
        imports: {
            "wasmilter:filter/body.parts": async | trappable,
            "wasmilter:filter/body.text": async,
            "wasmilter:filter/body.octets": async,
            "wasmilter:filter/body-edit.replace-part": async,
            "wasmilter:filter/body-edit.drop-part": async,
            "wasmilter:filter/dns.lookup": async,
            "wasmilter:filter/dns.listed": async,
        },
    });
    pub use wasmilter::filter::*;
}

/// The package of the contract, and the versions of it that this host serves: `MAJOR.MINOR` of 0.1.
pub const PACKAGE: &str = "wasmilter:filter";
pub const VERSIONS: &str = "0.1.x";

/// What a plugin can import of the contract, by the names of the interfaces.
pub const ABILITIES: [&str; 18] = [
    "types",
    "session",
    "envelope",
    "header",
    "body",
    "results",
    "config",
    "tags",
    "score",
    "header-edit",
    "body-edit",
    "envelope-edit",
    "filing",
    "route",
    "kv",
    "dns",
    "metrics",
    "log",
];

pub fn serves(version: &str) -> bool {
    let mut numbers = version.split('.');
    (numbers.next(), numbers.next()) == (Some("0"), Some("1"))
        && numbers
            .next()
            .is_some_and(|patch| patch.parse::<u32>().is_ok())
        && numbers.next().is_none()
}

/// Everything that a plugin can import.
pub fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    generated::All::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    Ok(linker)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_range_of_versions_is_served() {
        for (version, served) in [
            ("0.1.0", true),
            ("0.1.17", true),
            ("0.2.0", false),
            ("1.1.0", false),
            ("0.1", false),
            ("0.1.0-rc1", false),
            ("", false),
        ] {
            assert_eq!(super::serves(version), served, "{version}");
        }
    }
}
