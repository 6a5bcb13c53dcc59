//! One plugin on one message, without a server: what `wasmilter plugin run` does. Prints nothing.

use super::capability::{Asked, Grants};
use super::component::{LoadError, Plugin, Runtime};
use super::engine::EngineError;
use super::filter::PluginFilter;
use super::generation::{PluginStatus, status_of};
use super::loader;
use super::manifest::{Manifest, ManifestError, check_name};
use super::service::Config;
use crate::mail::{
    Address, Call, Content, Edit, Envelope, Failure, Filter, FilterRun, Hook, Hooks, Message,
    Outcome, Recipient, ReversePath, Session, Symbol, TransactionId, Verdict, View,
};
use mail_parser::{HeaderName, MessageParser};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// The plugin that was run, and each call with what came of it.
pub struct Ran {
    pub plugin: PluginStatus,
    pub calls: Vec<(Call, Outcome)>,
    /// The message with the edits that are for everybody.
    pub message: Message,
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

/// What one transaction took, in parts.
#[derive(Debug, Clone)]
pub struct Cost {
    /// Making the instance, `on-load` included where it has to run in each.
    pub instantiate: Duration,
    /// Each hook, all its calls together, with what the host did for it.
    pub hooks: BTreeMap<Hook, Duration>,
    /// Octets of linear memory, the most at the end of a call.
    pub memory: u64,
    pub host_calls: u32,
}

/// Loads a component with the `plugin.toml` beside it, if there is one, or a plugin's folder, as a server does it.
/// `config` gives limits and cache; its directory is not looked at.
pub async fn load_path(config: &Config, path: &Path) -> Result<Loaded, RunError> {
    let found = loader::at(path).map_err(RunError::File)?;
    let wasm = found.wasm.map_err(RunError::File)?;
    let files = loader::files(&wasm, found.manifest.as_deref()).map_err(RunError::File)?;
    let manifest = Manifest::parse(&files.manifest).map_err(|error| RunError::Manifest {
        path: found.manifest.unwrap_or_else(|| wasm.clone()),
        error,
    })?;
    if manifest.name.is_none() {
        check_name(&found.key).map_err(RunError::File)?;
    }
    let runtime = Runtime::new(
        &config.engine(),
        config.limits,
        config.load,
        config.services.clone(),
    )?;
    let runtime = Arc::new(runtime.http_private(config.http_private.clone()));
    // No mail is anybody's here. Its own manifest narrows it as it does in a server.
    runtime.grants.store(Arc::new(Grants::everything()));
    let plugin = Plugin::load(runtime, &found.key, &manifest, files.bytes)
        .await
        .map_err(|error| RunError::Load {
            path: wasm.clone(),
            error,
        })?;
    let plugin = Arc::new(plugin);
    Ok(Loaded {
        plugin: PluginStatus {
            path: Some(wasm),
            ..status_of(&plugin)
        },
        filter: Arc::new(PluginFilter(Arc::clone(&plugin))),
        asked: plugin.profile.asked.clone(),
        own: PluginFilter(plugin),
    })
}

impl Loaded {
    /// Asks it at each of its hooks in turn, until one ends the transaction.
    pub async fn run(&self, input: Input) -> io::Result<Ran> {
        let (calls, message) =
            transaction(self.filter.open(), self.filter.info().hooks, input).await?;
        Ok(Ran {
            plugin: self.plugin.clone(),
            calls,
            message,
        })
    }

    /// As [`Loaded::run`], measured. The inner error is the plugin's: what fails is no measure.
    pub async fn measure(&self, input: Input) -> io::Result<Result<Cost, Failure>> {
        let started = Instant::now();
        let run = match self.own.open_started().await {
            Ok(run) => run,
            Err(failure) => return Ok(Err(failure)),
        };
        let mut cost = Cost {
            instantiate: started.elapsed(),
            hooks: BTreeMap::new(),
            memory: 0,
            host_calls: 0,
        };
        let (calls, _) = transaction(run, self.filter.info().hooks, input).await?;
        for (call, outcome) in calls {
            if let Err(failure) = outcome.result {
                return Ok(Err(failure));
            }
            *cost.hooks.entry(call.hook()).or_default() += outcome.elapsed;
            cost.memory = cost.memory.max(outcome.memory);
            cost.host_calls = cost.host_calls.saturating_add(outcome.host_calls);
        }
        Ok(Ok(cost))
    }
}

/// [`load_path`] and [`Loaded::run`].
pub async fn run_file(config: &Config, wasm: &Path, input: Input) -> Result<Ran, RunError> {
    Ok(load_path(config, wasm).await?.run(input).await?)
}

/// All hooks of one filter, in the order of a transaction.
async fn transaction(
    mut run: Box<dyn FilterRun>,
    hooks: Hooks,
    input: Input,
) -> io::Result<(Vec<(Call, Outcome)>, Message)> {
    let mut message = Message::new(input.message)?;
    let session = Arc::new(input.session);
    let mut envelope = Envelope {
        recipients: Vec::new(),
        ..input.envelope.clone()
    };
    let recipients = input.envelope.recipients;
    let mut calls: Vec<(Call, Outcome)> = Vec::new();
    let mut symbols: Vec<Symbol> = Vec::new();

    let addresses = || recipients.iter().map(|recipient| recipient.address.clone());
    let mut order = vec![Call::Connect, Call::Mail];
    order.extend(addresses().map(Call::Rcpt));
    order.push(Call::Message);
    order.extend(addresses().map(Call::Deliver));
    for call in order {
        let hook = call.hook();
        if hook == Hook::Message {
            envelope.recipients.clone_from(&recipients);
        }
        let shown = matches!(hook, Hook::Message | Hook::Deliver);
        if hooks.contains(hook) {
            let view = View {
                transaction: (hook != Hook::Connect).then(|| TransactionId::new(0, 0)),
                session: Arc::clone(&session),
                envelope: Arc::new(envelope.clone()),
                message: shown.then(|| message.clone()),
                authentication: Arc::new([]),
                symbols: symbols.clone(),
            };
            let outcome = run.call(&call, view).await;
            symbols.extend(outcome.symbols.iter().cloned());
            for scoped in outcome.edits.iter().filter(|scoped| scoped.scope.is_all()) {
                match &scoped.edit {
                    Edit::Header(edit) => {
                        message.header.apply(edit);
                    }
                    Edit::Body(edit) => message.edit_body(edit),
                    _ => {}
                }
            }
            let goes_on = match &outcome.result {
                Ok(Verdict::Continue | Verdict::Accept | Verdict::Quarantine(_)) => true,
                // At these hooks it is about one recipient.
                Ok(_) => matches!(hook, Hook::Rcpt | Hook::Deliver),
                Err(_) => false,
            };
            calls.push((call.clone(), outcome));
            if !goes_on {
                break;
            }
        }
        if let Call::Rcpt(address) = &call {
            envelope
                .recipients
                .extend(recipients.iter().find(|r| r.address == *address).cloned());
        }
    }
    Ok((calls, message))
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
