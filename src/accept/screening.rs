//! A transaction whose message somebody else keeps: the same chain and policy, with the verdict, the message and the envelope as they are
//! to be for an answer. Nothing is stored but the journal, and `deliver` is not asked: no mailbox is known here.

use super::judge::{Judged, judge};
use super::report::Report;
use super::transaction::{Keeper, Transaction};
use super::{Services, local_error, refused};
use crate::chain::{Chain, Draft, Ended, Policy, Run, greet, total};
use crate::mail::{
    Call, Content, ContentBuilder, Disposition, Edit, EnhancedCode, Envelope, FieldName, Header,
    HeaderEdit, Hook, Hooks, Line, Message, Mode, Recipient, Reply, Scope, Scoped, Session, Symbol,
    Turn, Uses, Verdict,
};
use std::sync::Arc;
use std::time::Duration;

/// What the journal calls what is done here itself.
const NAME: &str = "wasmilter";

/// What mail servers and their users know from SpamAssassin: a message with it goes into the junk folder.
const SPAM_FLAG: &str = "X-Spam-Flag";

/// More than any mail server takes of one client: it is there so that memory has an end.
const RECIPIENTS: usize = 10_000;

/// The filters of one generation, for messages that somebody else keeps. Cheap to clone.
#[derive(Clone)]
pub struct Screen {
    services: Arc<Services>,
    chain: Chain,
}

impl Screen {
    pub(super) fn new(services: Arc<Services>) -> Self {
        let chain = services.chains.current();
        Self { services, chain }
    }

    /// The number of the generation.
    pub fn generation(&self) -> u64 {
        self.chain.generation
    }

    /// The hooks that any filter has.
    pub fn hooks(&self) -> Hooks {
        let filters = self.chain.filters.iter();
        filters
            .flat_map(|filter| filter.info().hooks.iter())
            .collect()
    }

    /// What any filter at `message` uses; sender authentication counts.
    pub fn uses(&self) -> Uses {
        let is_verified = self.verifies();
        let all = Uses {
            body: is_verified,
            header_edit: is_verified,
            ..Uses::default()
        };
        let filters = self.chain.filters.iter();
        filters
            .map(|filter| filter.info())
            .filter(|info| info.hooks.contains(Hook::Message) || info.uses.envelope_edit)
            .fold(all, |all, info| Uses {
                body: all.body || info.uses.body,
                header_edit: all.header_edit || info.uses.header_edit,
                body_edit: all.body_edit || info.uses.body_edit,
                envelope_edit: all.envelope_edit || info.uses.envelope_edit,
            })
    }

    /// Whether senders are checked, which can refuse them at MAIL.
    pub fn verifies(&self) -> bool {
        self.services.verifier.is_some()
    }

    /// Whether the policy can find that a message belongs into Junk.
    pub fn tags(&self) -> bool {
        self.services.config.policy.junk.is_some() || self.verifies()
    }

    pub fn policy(&self) -> Policy {
        self.services.config.policy
    }

    /// For a message that comes before what is known of it.
    pub fn content(&self) -> ContentBuilder {
        self.services.content()
    }

    /// The `connect` hook; an error is the reply to turn the client away with. What filters tag goes into the session.
    pub async fn connect(&self, session: &mut Arc<Session>) -> Result<(), Reply> {
        refused(greet(self.chain.clone(), session, Call::Connect).await)
    }

    /// The `helo` hook; an error is the reply to refuse the command with. The session has the name already.
    pub async fn helo(&self, session: &mut Arc<Session>) -> Result<(), Reply> {
        let call = Call::Helo(session.helo.clone());
        refused(greet(self.chain.clone(), session, call).await)
    }

    /// MAIL FROM: the `mail` hook.
    pub async fn begin(
        &self,
        session: Arc<Session>,
        envelope: Envelope,
    ) -> Result<Screening, Reply> {
        let services = Arc::clone(&self.services);
        let chain = self.chain.clone();
        Transaction::begin(services, Keeper::Asker, chain, session, envelope)
            .await
            .map(Screening)
    }
}

pub struct Screening(Transaction);

impl Screening {
    /// RCPT TO: the `rcpt` hook. How many there may be is for the mail server to say, which has them; it could not come again with fewer.
    pub async fn recipient(&mut self, recipient: Recipient) -> Result<(), Reply> {
        if self.0.envelope.recipients.len() >= RECIPIENTS {
            return Err(Reply::new(
                552,
                EnhancedCode(5, 5, 3),
                &format!("No filter sees a message to more than {RECIPIENTS} recipients"),
            ));
        }
        self.0.named(recipient).await
    }

    /// The recipients so far.
    pub fn recipients(&self) -> &[Recipient] {
        &self.0.envelope.recipients
    }

    pub fn content(&self) -> ContentBuilder {
        self.0.content()
    }

    /// The chain and the policy. `queue_id` is what the asker calls the message.
    pub async fn finish(self, content: Content, queue_id: Option<String>) -> Screened {
        let id = self.0.id.clone();
        let mut transaction = self.0.called(queue_id);
        match judge(&mut transaction, &content).await {
            Ok(judged) => Screened::new(transaction, judged),
            Err(error) => {
                tracing::error!(transaction = id.as_str(), %error, "the message could not be read back");
                Screened::failed(transaction)
            }
        }
    }
}

/// What is to become of the message.
pub struct Screened {
    pub verdict: Verdict,
    /// Why it belongs into Junk by the policy, if it does.
    pub junk: Option<String>,
    /// As it came.
    pub received: Header,
    /// As it is to be; none if it cannot be read.
    pub message: Option<Message>,
    pub envelope: Arc<Envelope>,
    services: Arc<Services>,
    ended: Ended,
    report: Report,
}

impl Screened {
    fn new(transaction: Transaction, judged: Judged) -> Self {
        let Judged {
            verdict,
            mut draft,
            filed,
            authentication,
            mut report,
        } = judged;
        let junk = filed.filter(|_| verdict == Verdict::Continue);
        let junk = junk.map(|(_, why)| why);
        let mut run = transaction.run;
        let verdict = apart(&run, &mut report.envelope, verdict);
        if let Verdict::Continue | Verdict::Accept | Verdict::Quarantine(_) = &verdict {
            let is_untold = junk.is_some() && !is_flagged(&draft);
            let edits = own_edits(authentication.as_deref(), is_untold);
            draft.apply(&edits);
            if !edits.is_empty() {
                let why = junk.iter().cloned().collect();
                run.built_in(own_turn(&verdict, edits, why));
            }
        }
        let mut ended = run.end();
        let verdict = match (verdict, held(&ended.turns)) {
            (Verdict::Continue | Verdict::Accept, Some(why)) => Verdict::Quarantine(why),
            (verdict, _) => verdict,
        };
        let message = common(&draft, &report.envelope, &mut ended.turns);
        Self {
            verdict,
            junk,
            received: report.received.clone(),
            message: Some(message),
            envelope: Arc::clone(&report.envelope),
            services: transaction.services,
            ended,
            report,
        }
    }

    fn failed(transaction: Transaction) -> Self {
        let received = Header::parse(&bytes::Bytes::new());
        let report = Report {
            id: transaction.id,
            queue_id: transaction.queue_id,
            session: transaction.session,
            envelope: Arc::clone(&transaction.envelope),
            original: transaction.original,
            received: received.clone(),
            size: 0,
            authentication: Vec::new(),
            at: transaction.services.clock.now(),
            release: None,
        };
        Self {
            verdict: Verdict::Tempfail(local_error()),
            junk: None,
            received,
            message: None,
            envelope: transaction.envelope,
            services: transaction.services,
            ended: transaction.run.end(),
            report,
        }
    }

    /// What filters found.
    pub fn symbols(&self) -> &[Symbol] {
        &self.ended.symbols
    }

    pub fn score(&self) -> f32 {
        total(&self.ended.symbols)
    }

    /// The journal of it. `how`: what the asker does with the message, where it was not refused or discarded; `missed`: what could
    /// not be asked of it.
    pub fn record(mut self, verdict: Verdict, how: &str, missed: Vec<String>) -> Record {
        if !missed.is_empty() {
            let mut turn = own_turn(&verdict, Vec::new(), Vec::new());
            turn.refused = missed;
            self.ended.turns.push(turn);
        }
        let disposition = match &verdict {
            Verdict::Reject(reply) | Verdict::Tempfail(reply) => Disposition::Refused {
                reply: reply.to_string(),
            },
            Verdict::Discard => Disposition::Discarded {
                why: "a filter discarded it".to_owned(),
            },
            Verdict::Continue | Verdict::Accept | Verdict::Quarantine(_) => Disposition::Passed {
                how: how.to_owned(),
            },
        };
        let journal = self
            .report
            .journal(self.ended, verdict, std::iter::repeat(disposition));
        Record {
            services: self.services,
            journal,
        }
    }
}

/// A journal to be stored. The asker has the message: one that is lost loses no mail, so nobody need wait for it.
pub struct Record {
    services: Arc<Services>,
    journal: crate::mail::Journal,
}

impl Record {
    pub async fn store(self) {
        let id = self.journal.id.clone();
        if let Err(error) = self.services.store.record_later(self.journal).await {
            tracing::warn!(transaction = id.as_str(), %error, "a journal was not stored");
        }
    }
}

/// Whether a filter has said so already.
pub(super) fn is_flagged(draft: &Draft) -> bool {
    let mut flags = draft.message().header.get(SPAM_FLAG);
    flags.any(|field| field.text().eq_ignore_ascii_case("YES"))
}

/// The fields that say what was found, on top: the asker knows no other way to hear of it.
pub(super) fn own_edits(authentication: Option<&str>, is_junk: bool) -> Vec<Scoped> {
    let mut edits = Vec::new();
    let mut insert = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (FieldName::new(name), Line::new(value)) {
            edits.push(Scoped {
                edit: Edit::Header(HeaderEdit::Insert {
                    at: 0,
                    name,
                    value: value.into(),
                }),
                scope: Scope::All,
            });
        }
    };
    if is_junk {
        insert(SPAM_FLAG, "YES");
    }
    if let Some((name, value)) = authentication.and_then(|field| field.split_once(':')) {
        // Unfolded: the field is folded again when it is written.
        let words: Vec<_> = value.split_ascii_whitespace().collect();
        insert(name, &words.join(" "));
    }
    edits
}

pub(super) fn own_turn(verdict: &Verdict, edits: Vec<Scoped>, why: Vec<String>) -> Turn {
    Turn {
        filter: NAME.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hook: Hook::Message,
        mode: Mode::Active,
        recipient: None,
        about: None,
        result: Ok(verdict.clone()),
        verdict: verdict.clone(),
        symbols: Vec::new(),
        edits,
        refused: Vec::new(),
        log: why
            .into_iter()
            .map(|text| crate::mail::LogLine {
                level: "info".to_owned(),
                text,
            })
            .collect(),
        elapsed: Duration::ZERO,
        memory: 0,
        host_calls: 0,
        calls: Vec::new(),
    }
}

/// What filters said at `rcpt` of the message to come: dropped for one, that one is taken out; set aside for one, it is for all, since there
/// is one message.
fn apart(run: &Run, envelope: &mut Arc<Envelope>, verdict: Verdict) -> Verdict {
    if !matches!(verdict, Verdict::Continue | Verdict::Accept) {
        return verdict;
    }
    let is_dropped = |one: &Recipient| run.fate(&one.address) == Some(&Verdict::Discard);
    if envelope.recipients.iter().any(is_dropped) {
        let recipients = &mut Arc::make_mut(envelope).recipients;
        recipients.retain(|one| !is_dropped(one));
        if recipients.is_empty() {
            return Verdict::Discard;
        }
    }
    let mut fates = envelope
        .recipients
        .iter()
        .filter_map(|one| run.fate(&one.address));
    fates.next().cloned().unwrap_or(verdict)
}

/// Why a filter wants it held. If for some recipients only, then for all: there is one message.
fn held(turns: &[Turn]) -> Option<String> {
    let mut edits = turns.iter().flat_map(|turn| &turn.edits);
    edits.find_map(|edit| match &edit.edit {
        Edit::Hold { why } => Some(why.clone()),
        _ => None,
    })
}

/// The one version of the message that there can be: that of all recipients if they have the same, else what is edited for all of them.
/// What gets lost is noted where it was asked for.
fn common(draft: &Draft, envelope: &Envelope, turns: &mut [Turn]) -> Message {
    let mut recipients = envelope.recipients.iter();
    let first = recipients
        .next()
        .map(|recipient| draft.message_for(&recipient.address));
    // One that cannot be read is like no other.
    let splices = |message: &Message| {
        message
            .render()
            .ok()
            .map(|octets| octets.splices().to_vec())
    };
    let same = first.filter(|first| {
        let splices_of_first = splices(first);
        recipients.all(|other| splices(&draft.message_for(&other.address)) == splices_of_first)
    });
    for turn in turns {
        for edit in &turn.edits {
            let missed = match &edit.edit {
                Edit::Header(_) | Edit::Body(_) if same.is_none() && !edit.scope.is_all() => {
                    "an edit for some recipients only: the mail server that asked has one message for all"
                }
                Edit::FileInto { .. } | Edit::AddFlag(_) => {
                    "filing: the mailbox is the affair of the mail server that asked"
                }
                Edit::Via(_) => "a next hop: the way is the affair of the mail server that asked",
                _ => continue,
            };
            turn.refused.push(missed.to_owned());
        }
    }
    same.unwrap_or_else(|| draft.message().clone())
}
