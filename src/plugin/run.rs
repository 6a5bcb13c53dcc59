//! A plugin without a server, and what a message says of its own envelope. Runs nothing: that is for `kit`.

use super::capability::{Asked, Grants};
use super::component::{LoadError, Plugin, Runtime};
use super::engine::EngineError;
use super::filter::PluginFilter;
use super::generation::{PluginStatus, status_of};
use super::loader;
use super::manifest::{Manifest, ManifestError, check_name};
use super::service::Config;
use crate::mail::{
    Address, Content, Envelope, Failure, Filter, FilterRun, Recipient, ReversePath, Session,
};
use mail_parser::{HeaderName, MessageParser};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{0}")]
    File(String),
    #[error("{}: {error}", path.display())]
    Manifest { path: PathBuf, error: ManifestError },
    #[error("{}: {error}", path.display())]
    Load { path: PathBuf, error: LoadError },
    #[error("reading the message: {0}")]
    Message(#[from] io::Error),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What a run needs besides the plugin.
#[derive(Debug, Clone)]
pub struct Input {
    pub session: Session,
    pub envelope: Envelope,
    pub message: Content,
}

impl Input {
    /// An envelope from the message's header: Return-Path or From, and To, Cc and Delivered-To. What flags say goes over it.
    pub fn from_message(message: Content) -> io::Result<Self> {
        let octets = message.read(0, crate::mail::Header::MAX)?;
        let parsed = MessageParser::default().parse_headers(&octets[..]);
        let addresses = |names: &[HeaderName<'static>]| -> Vec<Address> {
            let mut found = Vec::new();
            for header in parsed.iter().flat_map(|parsed| parsed.headers()) {
                if !names.contains(&header.name) {
                    continue;
                }
                let listed = header.value.as_address().map(|list| list.iter());
                let listed = listed
                    .into_iter()
                    .flatten()
                    .filter_map(|address| address.address());
                let plain = header.value.as_text();
                for text in listed.chain(plain) {
                    let text = text.trim().trim_matches(['<', '>']);
                    found.extend(
                        Address::parse(text)
                            .ok()
                            .filter(|address| !found.contains(address)),
                    );
                }
            }
            found
        };
        let sender = [HeaderName::ReturnPath, HeaderName::From]
            .into_iter()
            .find_map(|name| addresses(&[name]).into_iter().next());
        let recipients = addresses(&[
            HeaderName::Other("Delivered-To".into()),
            HeaderName::To,
            HeaderName::Cc,
        ]);
        Ok(Self {
            session: Session {
                server_name: "localhost".to_owned(),
                helo: "localhost".to_owned(),
                protocol: "ESMTP".to_owned(),
                ..Session::default()
            },
            envelope: Envelope {
                sender: sender.map_or(ReversePath::Null, ReversePath::Address),
                recipients: recipients.into_iter().map(Recipient::from).collect(),
                ..Envelope::default()
            },
            message,
        })
    }
}

/// A plugin outside of any server.
pub struct Loaded {
    pub plugin: PluginStatus,
    pub filter: Arc<dyn Filter>,
    /// For a server to grant; here all of it is.
    pub asked: Asked,
    own: PluginFilter,
}

/// Loads a component with the `plugin.toml` beside it, if there is one, or a plugin's folder, as a server does it.
/// `config` gives limits and cache; its directory is not looked at.
pub async fn load_path(config: &Config, path: &Path) -> Result<Loaded, RunError> {
    let found = loader::at(path).map_err(RunError::File)?;
    // NAME@ANYTHING is a further version of NAME.
    let name = found.key.split('@').next().unwrap_or_default().to_owned();
    load_found(config, &name, found).await
}

/// The same, for a manifest that gives no name and a file that says nothing of it.
pub async fn load_as(config: &Config, name: &str, path: &Path) -> Result<Loaded, RunError> {
    load_found(config, name, loader::at(path).map_err(RunError::File)?).await
}

/// A component that lies nowhere, without a manifest.
pub async fn load_bytes(config: &Config, name: &str, bytes: Vec<u8>) -> Result<Loaded, RunError> {
    let manifest = Manifest::parse("").map_err(|error| RunError::Manifest {
        path: PathBuf::new(),
        error,
    })?;
    let plugin = load(config, name, &manifest, bytes.into()).await?;
    plugin.map_err(|error| RunError::Load {
        path: PathBuf::from(name),
        error,
    })
}

async fn load_found(config: &Config, name: &str, found: loader::Found) -> Result<Loaded, RunError> {
    let wasm = found.wasm.map_err(RunError::File)?;
    let files = loader::files(&wasm, found.manifest.as_deref()).map_err(RunError::File)?;
    let manifest = Manifest::parse(&files.manifest).map_err(|error| RunError::Manifest {
        path: found.manifest.unwrap_or_else(|| wasm.clone()),
        error,
    })?;
    if manifest.name.is_none() {
        check_name(name).map_err(RunError::File)?;
    }
    let loaded = load(config, name, &manifest, files.bytes).await?;
    let mut loaded = loaded.map_err(|error| RunError::Load {
        path: wasm.clone(),
        error,
    })?;
    loaded.plugin.path = Some(wasm);
    Ok(loaded)
}

/// The inner error is the plugin's.
async fn load(
    config: &Config,
    name: &str,
    manifest: &Manifest,
    bytes: Arc<[u8]>,
) -> Result<Result<Loaded, LoadError>, EngineError> {
    let mut runtime = Runtime::new(
        &config.engine(),
        config.limits,
        config.load,
        config.services.clone(),
    )?;
    runtime.host_time = config.host_time.clone();
    let runtime = Arc::new(runtime);
    // No mail is anybody's here. Its own manifest narrows it as it does in a server.
    runtime.grants.store(Arc::new(Grants::everything()));
    let plugin = match Plugin::load(runtime, name, manifest, bytes).await {
        Ok(plugin) => Arc::new(plugin),
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(Loaded {
        plugin: status_of(&plugin),
        filter: Arc::new(PluginFilter(Arc::clone(&plugin))),
        asked: plugin.profile.asked.clone(),
        own: PluginFilter(plugin),
    }))
}

impl Loaded {
    /// The filter at work on one transaction, its instance made already.
    pub async fn started(&self) -> Result<Box<dyn FilterRun>, Failure> {
        self.own.open_started().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_comes_from_the_header() {
        let message = "Return-Path: <bounce@example.org>\r\nDelivered-To: alice@example.test\r\nFrom: Bob <bob@example.org>\r\nTo: Alice <alice@example.test>, \"C\" <carol@example.test>\r\n\r\nhello\r\n";
        let input = Input::from_message(Content::from_bytes(message)).unwrap();
        assert_eq!(input.envelope.sender.to_string(), "bounce@example.org");
        let recipients: Vec<_> = input
            .envelope
            .recipients
            .iter()
            .map(|r| r.address.to_string())
            .collect();
        assert_eq!(recipients, ["alice@example.test", "carol@example.test"]);
    }

    #[test]
    fn a_message_without_addresses_has_an_empty_envelope() {
        let input = Input::from_message(Content::from_bytes("Subject: x\r\n\r\n")).unwrap();
        assert_eq!(input.envelope, Envelope::default());
    }
}
