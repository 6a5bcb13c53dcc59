//! A core module becomes a component, in-process: its section `component-type` says how, and the adapter of WASI's preview 1 gives it what
//! it imports of that. Compiles and runs nothing.

use super::component::LoadError;
use std::borrow::Cow;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// What wit-bindgen writes; more follows where there are several.
const SECTION: &str = "component-type";

/// The component that these octets are, or are made into.
pub fn component_of(bytes: &[u8]) -> Result<Cow<'_, [u8]>, LoadError> {
    match bytes.get(..8) {
        // The version and layer of the header tell the two kinds apart.
        Some([0, b'a', b's', b'm', _, _, 0, 0]) => made(bytes).map(Cow::Owned),
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(Cow::Borrowed(bytes)),
        _ if bytes.is_empty() => Err(LoadError::NotWasm("nothing: the file is empty".to_owned())),
        _ => {
            let start = bytes.get(..bytes.len().min(8)).unwrap_or_default();
            Err(LoadError::NotWasm(format!(
                "{:?}",
                String::from_utf8_lossy(start)
            )))
        }
    }
}

fn made(module: &[u8]) -> Result<Vec<u8>, LoadError> {
    if !says_what_it_is(module)? {
        return Err(LoadError::CoreModule);
    }
    let component = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| {
            encoder.adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )
        })
        .and_then(|mut encoder| encoder.encode());
    component.map_err(|error| LoadError::Componentize(format!("{error:#}")))
}

fn says_what_it_is(module: &[u8]) -> Result<bool, LoadError> {
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(|error| {
            LoadError::Compile(format!("{} at octet {}", error.message(), error.offset()))
        })?;
        if let Payload::CustomSection(section) = payload
            && section.name().starts_with(SECTION)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
