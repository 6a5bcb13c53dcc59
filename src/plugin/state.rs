//! What the host knows about the call in hand, and what the filter has asked for in it: the data of a WASM store.
//! Holds no generated types: those stay in `abi`.

use super::body_edits::{self, Replacing};
use super::calls::Calls;
use super::capability::{Ability, Asked, Capabilities};
use super::limits::{Limits, MemoryCount};
use super::outgoing::{Outgoing, SharedCalls};
use super::output::Output;
use super::services::Services;
use crate::mail::{
    Address, Call, Edit, EnvelopeEdit, Header, HeaderEdit, Hook, HostCall, Line, LogLine, Message,
    Mode, Scope, Scoped, Symbol, TransactionId, View,
};
use arc_swap::ArcSwap;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// What bounds one transaction of one filter, besides time and memory.
const MAX_EDITS: usize = 1000;
const MAX_EDIT_OCTETS: usize = 1024 * 1024;
/// Octets of the fields that edits change or remove, which the journal keeps: the whole header once.
const MAX_OLD_OCTETS: usize = Header::MAX;
const MAX_SYMBOLS: usize = 500;
const MAX_LOG_OCTETS: usize = 16 * 1024;
const MAX_LOG_LINES: usize = 200;
const MAX_REFUSALS: usize = 100;
const MAX_REFUSAL: usize = 1000;
/// Of one filter, those of the connection included.
const MAX_TAGS: usize = 100;
/// What it holds of the host's at a time: streams, requests, header fields.
const MAX_RESOURCES: usize = 1000;
/// Octets of the header fields of one request, as the library counts them.
const MAX_FIELDS: usize = 32 * 1024;

/// What is the same for all instances of a plugin.
#[derive(Debug)]
pub struct Profile {
    pub name: String,
    pub version: String,
    /// The table `[config]` of its manifest as JSON.
    pub config: String,
    /// The same, parsed.
    pub settings: serde_json::Value,
    pub limits: Limits,
    /// A shadow must leave nothing behind: what it does through services is its own.
    pub mode: Mode,
    /// Of `on-load`.
    pub load: Limits,
    pub asked: Asked,
    /// What the grants of now make of it.
    pub capabilities: ArcSwap<Capabilities>,
    pub services: Services,
}

impl Profile {
    /// Under which its values are kept. A shadow doesn't touch those of the active version.
    pub fn namespace(&self) -> Cow<'_, str> {
        match self.mode {
            Mode::Active | Mode::Canary => Cow::Borrowed(&self.name),
            // No plugin's name has an @.
            Mode::Shadow => Cow::Owned(format!("{}@shadow", self.name)),
        }
    }
}

/// Why a call into the host is refused: what was wrong and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    NotGranted(String),
    TooMuch(String),
    BadValue(String),
    NoSuchThing(String),
    Failed(String),
}

/// The host could not do what a function without a refusal was to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HostFailed(pub String);

impl Refused {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::NotGranted(text) => ("not-granted", text),
            Self::TooMuch(text) => ("too-much", text),
            Self::BadValue(text) => ("bad-value", text),
            Self::NoSuchThing(text) => ("no-such-thing", text),
            Self::Failed(text) => ("failed", text),
        }
    }
}

/// What a filter asked for in one call of a hook.
#[derive(Debug, Default)]
pub struct Record {
    pub edits: Vec<Scoped>,
    pub symbols: Vec<Symbol>,
    pub refused: Vec<String>,
    pub log: Vec<LogLine>,
    pub host_calls: u32,
    pub calls: Vec<HostCall>,
    log_dropped: usize,
    pub(super) replacing: Vec<Replacing>,
}

/// What it has used up in the transaction.
#[derive(Debug, Default)]
pub struct Used {
    edits: usize,
    edit_octets: usize,
    removals: usize,
    /// As many as the header had fields at the first one, or as there may be edits if these are more.
    most_removals: Option<usize>,
    pub(super) old_octets: usize,
    pub body_octets: usize,
    symbols: usize,
    log_octets: usize,
    log_lines: usize,
    refusals: usize,
}

pub struct State {
    profile: Arc<Profile>,
    /// As granted when the instance was made: the same for a whole transaction.
    capabilities: Arc<Capabilities>,
    /// None while `on-load` runs.
    current: Option<(Call, View)>,
    pub(super) record: Record,
    pub(super) used: Used,
    pub memory: MemoryCount,
    /// Ticks that the filter may run for in this call.
    pub ticks: u64,
    wasi: Option<WasiCtx>,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    calls: SharedCalls,
    resources: ResourceTable,
    output: Output,
}

impl State {
    pub fn new(profile: Arc<Profile>) -> Self {
        let calls = SharedCalls::default();
        let capabilities = profile.capabilities.load_full();
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(MAX_RESOURCES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_FIELDS);
        Self {
            memory: MemoryCount::new(profile.limits.memory),
            outgoing: Outgoing::new(
                Arc::clone(&profile),
                Arc::clone(&capabilities),
                Arc::clone(&calls),
            ),
            capabilities,
            profile,
            current: None,
            record: Record::default(),
            used: Used::default(),
            ticks: 0,
            wasi: None,
            http,
            calls,
            resources,
            output: Output::default(),
        }
    }

    /// Whether the grants are those of when the instance was made.
    pub fn is_granted_as_now(&self) -> bool {
        Arc::ptr_eq(&self.capabilities, &self.profile.capabilities.load())
    }

    /// A warm instance goes on with the next transaction.
    pub fn renew(&mut self) {
        self.used = Used::default();
    }

    pub fn begin(&mut self, call: &Call, view: View) {
        self.current = Some((call.clone(), view));
        self.outgoing.open();
    }

    /// What the filter asked for since `begin`.
    pub fn end(&mut self) -> Record {
        for line in self.output.take() {
            self.log("info", &line);
        }
        for refused in self.outgoing.close() {
            self.refused("http", &refused);
        }
        self.current = None;
        let calls = self.calls().take();
        let mut record = std::mem::take(&mut self.record);
        body_edits::complete(&mut record.edits, std::mem::take(&mut record.replacing));
        record.calls = calls;
        if record.log_dropped > 0 {
            record.log.push(LogLine {
                level: "warn".to_owned(),
                text: format!(
                    "{} more lines were dropped: a filter may log {MAX_LOG_OCTETS} octets and {MAX_LOG_LINES} lines in one transaction",
                    record.log_dropped
                ),
            });
        }
        record
    }

    /// What another instance used up before this one in the same transaction.
    pub fn resume(&mut self, used: Used) {
        self.used = used;
    }

    /// For the instance that goes on in its place.
    pub fn pause(&mut self) -> Used {
        std::mem::take(&mut self.used)
    }

    /// The last lines that the filter printed, such as what a panic says before it traps.
    pub fn last_words(&self) -> Option<String> {
        self.output.last_words()
    }

    /// Whether the filter holds anything of the host's.
    pub fn holds_resources(&self) -> bool {
        !self.resources.is_empty()
    }

    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Whether the ability may be used on this: a field name, a mailbox, HOST:PORT, a domain name, an address.
    pub fn allow(&self, ability: Ability, on: &str) -> Result<(), Refused> {
        self.capabilities
            .check(ability, on)
            .map_err(Refused::NotGranted)
    }

    /// The calls of services in this call of a hook.
    pub fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- reading ---

    /// Notes a call into the host.
    pub fn count(&mut self) {
        self.record.host_calls = self.record.host_calls.saturating_add(1);
    }

    pub fn view(&self) -> Option<&View> {
        self.current.as_ref().map(|(_, view)| view)
    }

    pub fn message(&self) -> Option<&Message> {
        self.view()?.message.as_ref()
    }

    pub(super) fn message_mut(&mut self) -> Option<&mut Message> {
        self.current.as_mut()?.1.message.as_mut()
    }

    pub fn header(&self) -> Option<&Header> {
        Some(&self.message()?.header)
    }

    /// By earlier filters and by this one.
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        let earlier = self.view().into_iter().flat_map(|view| view.symbols.iter());
        earlier.chain(&self.record.symbols)
    }

    fn hook(&self) -> Option<Hook> {
        self.current.as_ref().map(|(call, _)| call.hook())
    }

    // --- doing ---

    /// The hook, if what the filter asks for there can have an effect.
    fn heard(&self) -> Result<Hook, Refused> {
        match self.hook() {
            None => Err(nothing_yet()),
            Some(hook) if !hook.is_answered() => Err(Refused::NoSuchThing(format!(
                "at on-{hook} nothing can be changed: what became of the message is settled"
            ))),
            Some(hook) => Ok(hook),
        }
    }

    /// Notes a refusal, which is journalled whether or not the filter looks at it.
    pub fn refused(&mut self, call: &str, refused: &Refused) {
        let (kind, text) = refused.parts();
        let text: String = text.chars().take(MAX_REFUSAL).collect();
        let text = Line::lossy(&text);
        self.used.refusals += 1;
        match self.used.refusals {
            n if n <= MAX_REFUSALS => self.record.refused.push(format!("{call}: {kind}: {text}")),
            n if n == MAX_REFUSALS + 1 => {
                self.record
                    .refused
                    .push("further refusals are not listed".to_owned());
            }
            _ => {}
        }
    }

    pub fn log(&mut self, level: &str, text: &str) {
        self.used.log_octets = self.used.log_octets.saturating_add(text.len());
        self.used.log_lines += 1;
        if self.used.log_octets > MAX_LOG_OCTETS || self.used.log_lines > MAX_LOG_LINES {
            self.record.log_dropped += 1;
            return;
        }
        let text = Line::lossy(text).to_string();
        let Profile {
            name: plugin,
            version,
            ..
        } = &*self.profile;
        let transaction = self.view().and_then(|view| view.transaction.as_ref());
        let transaction = transaction.map_or("none", TransactionId::as_str);
        match level {
            "error" => tracing::error!(plugin, version, transaction, "{text}"),
            "warn" => tracing::warn!(plugin, version, transaction, "{text}"),
            "info" => tracing::info!(plugin, version, transaction, "{text}"),
            _ => tracing::debug!(plugin, version, transaction, "{text}"),
        }
        self.record.log.push(LogLine {
            level: level.to_owned(),
            text,
        });
    }

    pub fn add_symbol(&mut self, name: String, score: f32, reason: String) -> Result<(), Refused> {
        self.heard()?;
        if self.used.symbols >= MAX_SYMBOLS {
            return Err(Refused::TooMuch(format!(
                "a filter may give {MAX_SYMBOLS} symbols to a message"
            )));
        }
        self.used.symbols += 1;
        let by = self.profile.name.clone();
        self.record.symbols.push(Symbol {
            name,
            score,
            reason,
            by,
        });
        Ok(())
    }

    /// The scope of an edit, checked against the envelope. At `deliver` it is that recipient or nothing.
    pub fn scope(&self, only: Option<Vec<String>>) -> Result<Scope, Refused> {
        self.heard()?;
        let Some((call, view)) = &self.current else {
            return Err(nothing_yet());
        };
        let one = match call {
            Call::Deliver(recipient) | Call::Relay { recipient, .. } => Some(recipient),
            _ => None,
        };
        let Some(only) = only else {
            return Ok(one.map_or(Scope::All, |recipient| Scope::Only(vec![recipient.clone()])));
        };
        let recipients = &view.envelope.recipients;
        if only.len() > recipients.len().max(1) {
            return Err(Refused::TooMuch(format!(
                "an edit for {} recipients: the transaction has {}",
                only.len(),
                recipients.len()
            )));
        }
        let recipients: HashSet<_> = recipients.iter().map(|r| &r.address).collect();
        let find = |text: String| -> Result<Address, Refused> {
            let address = Address::parse(&text).ok();
            let known = |address: &Address| match one {
                Some(recipient) => recipient == address,
                None => recipients.contains(address),
            };
            address.filter(known).ok_or_else(|| {
                Refused::NoSuchThing(match one {
                    Some(recipient) => format!("at on-{} for {recipient} nothing can be changed for {text:?}", call.hook()),
                    None => format!("{text:?} is not a recipient of this transaction; envelope.recipients has them"),
                })
            })
        };
        let addresses: Result<Vec<_>, _> = only.into_iter().map(find).collect();
        let mut seen = HashSet::new();
        let mut addresses = addresses?;
        addresses.retain(|address| seen.insert(address.clone()));
        match addresses {
            none if none.is_empty() => {
                Err(Refused::BadValue("an edit for no recipient".to_owned()))
            }
            addresses => Ok(Scope::Only(addresses)),
        }
    }

    /// Records an edit of the header and shows it to the filter, unless it is for some recipients only.
    pub fn edit_header(&mut self, edit: HeaderEdit, scope: Scope) -> Result<(), Refused> {
        let (new, old) = (new_octets(&edit), self.old_octets(&edit));
        self.has_room_for_old(old)?;
        match &edit {
            HeaderEdit::Remove { .. } => self.spend_removal(&scope)?,
            _ => self.spend(new + scope_octets(&scope))?,
        }
        self.used.old_octets += old;
        let shown = self.shows(&scope);
        if let Some(message) = self.message_mut().filter(|_| shown) {
            message.header.apply(&edit);
        }
        self.record.edits.push(Scoped {
            edit: Edit::Header(edit),
            scope,
        });
        Ok(())
    }

    /// Whether the filter sees an edit of this scope in the message that it is shown.
    pub(super) fn shows(&self, scope: &Scope) -> bool {
        scope.is_all() || matches!(self.hook(), Some(Hook::Deliver | Hook::Relay))
    }

    pub fn edit_filing(&mut self, edit: Edit, scope: Scope) -> Result<(), Refused> {
        if matches!(self.heard()?, Hook::Connect | Hook::Helo) {
            return Err(Refused::NoSuchThing(
                "there is no message to send anywhere at this hook: ask from on-mail on".to_owned(),
            ));
        }
        let octets = match &edit {
            Edit::FileInto { mailbox, why } => mailbox.len() + why.len(),
            Edit::AddFlag(flag) => flag.len(),
            Edit::Hold { why } => why.len(),
            Edit::Via(next_hop) => next_hop.len(),
            _ => 0,
        };
        self.spend(octets + scope_octets(&scope))?;
        self.record.edits.push(Scoped { edit, scope });
        Ok(())
    }

    /// Records an edit of the envelope, which takes effect when the hook returns.
    pub fn edit_envelope(&mut self, edit: EnvelopeEdit, octets: usize) -> Result<(), Refused> {
        let hook = self.heard()?;
        if !matches!(hook, Hook::Mail | Hook::Rcpt | Hook::Message) {
            return Err(Refused::NoSuchThing(format!(
                "at on-{hook} the envelope cannot be changed: ask at on-mail, on-rcpt or on-message"
            )));
        }
        self.spend(octets)?;
        self.record.edits.push(Scoped {
            edit: Edit::Envelope(edit),
            scope: Scope::All,
        });
        Ok(())
    }

    /// Records a tag and shows it to the filter.
    pub fn set_tag(&mut self, key: String, value: String) -> Result<(), Refused> {
        self.heard()?;
        self.spend(key.len() + value.len())?;
        let by = &self.profile.name;
        if let Some((_, view)) = &mut self.current {
            let is_new = view.tags.by(&key) != Some(by);
            if is_new && view.tags.of(by) >= MAX_TAGS {
                return Err(Refused::TooMuch(format!(
                    "a filter may set {MAX_TAGS} tags, those of the connection included"
                )));
            }
            Arc::make_mut(&mut view.tags).set(&key, &value, by);
        }
        self.record.edits.push(Scoped {
            edit: Edit::Tag { key, value },
            scope: Scope::All,
        });
        Ok(())
    }

    pub(super) fn spend(&mut self, octets: usize) -> Result<(), Refused> {
        if self.used.edits >= MAX_EDITS {
            return Err(Refused::TooMuch(format!(
                "a filter may make {MAX_EDITS} edits to a message"
            )));
        }
        self.spend_octets(octets)?;
        self.used.edits += 1;
        Ok(())
    }

    /// Counted apart: however many fields a sender gives a filter to remove, its other edits have their room.
    fn spend_removal(&mut self, scope: &Scope) -> Result<(), Refused> {
        let fields = self.header().map_or(0, |header| header.fields().len());
        let most = *self.used.most_removals.get_or_insert(fields.max(MAX_EDITS));
        if self.used.removals >= most {
            return Err(Refused::TooMuch(format!(
                "a filter may remove {most} fields of this message"
            )));
        }
        self.spend_octets(scope_octets(scope))?;
        self.used.removals += 1;
        Ok(())
    }

    fn spend_octets(&mut self, octets: usize) -> Result<(), Refused> {
        if self.used.edit_octets.saturating_add(octets) > MAX_EDIT_OCTETS {
            return Err(Refused::TooMuch(format!(
                "the edits of a filter may hold {MAX_EDIT_OCTETS} octets"
            )));
        }
        self.used.edit_octets += octets;
        Ok(())
    }

    /// Of the field that an edit changes or removes, as it stands in the message.
    pub(super) fn old_octets(&self, edit: &HeaderEdit) -> usize {
        let (HeaderEdit::Change { name, nth, .. } | HeaderEdit::Remove { name, nth, .. }) = edit
        else {
            return 0;
        };
        let field = self
            .header()
            .and_then(|header| header.nth(name.as_str(), *nth));
        field.map_or(0, |field| field.octets().len())
    }

    pub(super) fn has_room_for_old(&self, octets: usize) -> Result<(), Refused> {
        if self.used.old_octets.saturating_add(octets) > MAX_OLD_OCTETS {
            return Err(Refused::TooMuch(format!(
                "the fields that a filter changes and removes may hold {MAX_OLD_OCTETS} octets"
            )));
        }
        Ok(())
    }
}

/// What an edit adds to a message.
pub(super) fn new_octets(edit: &HeaderEdit) -> usize {
    match edit {
        HeaderEdit::Add { value, .. }
        | HeaderEdit::Insert { value, .. }
        | HeaderEdit::Change { value, .. } => value.text().len(),
        HeaderEdit::Remove { .. } => 0,
    }
}

/// Of the addresses in a scope.
pub(super) fn scope_octets(scope: &Scope) -> usize {
    match scope {
        Scope::All => 0,
        Scope::Only(addresses) => addresses
            .iter()
            .map(|address| address.local().len() + 1 + address.domain().len())
            .sum(),
    }
}

pub fn nothing_yet() -> Refused {
    Refused::NoSuchThing(
        "there is no mail while the plugin is loaded: ask at another hook".to_owned(),
    )
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Most filters never ask, and it costs more than all else that is made for them.
        let ctx = self
            .wasi
            .get_or_insert_with(|| self.output.context(&self.profile.services));
        WasiCtxView {
            ctx,
            table: &mut self.resources,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.outgoing,
            table: &mut self.resources,
            ctx: &mut self.http,
        }
    }
}
