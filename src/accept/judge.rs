//! From a whole message to a verdict: sender authentication, the chain at `message`, the policy.
//! Says nothing of where the message goes, and stores nothing.

use super::report::Report;
use super::transaction::{Keeper, Transaction};
use super::{Meter, Services};
use crate::chain::{Draft, Ruling, Run};
use crate::mail::{
    Content, EnhancedCode, Hook, Message, Mode, Reply, Session, TransactionId, Turn, Verdict,
};
use crate::verify::{self, Checked};
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::yield_now;

const JUNK: &str = "Junk";

pub(super) struct Judged {
    pub verdict: Verdict,
    /// The message with all edits so far.
    pub draft: Draft,
    /// Mailbox and why, unless a filter files it; counts only with the verdict `continue`.
    pub filed: Option<(String, String)>,
    /// The whole field Authentication-Results, if senders are checked.
    pub authentication: Option<String>,
    pub report: Report,
}

/// Only reading the message back can fail here.
pub(super) async fn judge(transaction: &mut Transaction, content: &Content) -> io::Result<Judged> {
    // Other messages on this thread are received first, and then this is done with all of them: see `Run::ask`.
    yield_now().await;
    let started = Instant::now();
    let services = Arc::clone(&transaction.services);
    let message = Message::new(content.clone())?;
    let received = message.header.clone();
    let mut draft = Draft::new(message, &transaction.envelope.recipients);
    let hygiene = services.config.hygiene;
    let unclean = hygiene.refusal(&received, &transaction.session.server_name);
    let checked = match unclean {
        // No more work is done on it.
        Some(_) => Checked::default(),
        None => {
            authenticate(
                &services,
                &transaction.session,
                transaction.sender.take(),
                content,
                &mut draft,
                &mut transaction.run,
                transaction.keeper,
            )
            .await?
        }
    };
    let junk = checked.ruling.junk.clone();
    let mut filed = junk.map(|why| (JUNK.to_owned(), why));
    let verdict = match unclean.or(checked.ruling.refusal) {
        Some(reply) if reply.is_temporary() => Verdict::Tempfail(reply),
        Some(reply) => Verdict::Reject(reply),
        None => match transaction
            .run
            .message(&mut transaction.envelope, &mut draft)
            .await
        {
            Verdict::Continue => rule(
                &services,
                &transaction.id,
                transaction.run.score(),
                &mut filed,
            ),
            other => other,
        },
    };
    for found in &checked.results {
        let Meter { authentication, .. } = &services.meter;
        authentication.result(&found.method, &found.outcome);
    }
    services.meter.chain.took(started.elapsed());
    // Filters removed all; of a message that is only asked about there may have been none.
    let nobody =
        transaction.envelope.recipients.is_empty() && !transaction.original.recipients.is_empty();
    let verdict = match verdict {
        Verdict::Continue | Verdict::Accept | Verdict::Quarantine(_) if nobody => Verdict::Discard,
        other => other,
    };
    let authentication = services
        .verifier
        .as_ref()
        .map(|_| verify::field(&transaction.session.server_name, &checked.results));
    let report = Report {
        id: transaction.id.clone(),
        queue_id: transaction.queue_id.take(),
        session: Arc::clone(&transaction.session),
        envelope: Arc::clone(&transaction.envelope),
        original: transaction.original.clone(),
        received,
        size: content.len(),
        authentication: checked.results,
        at: services.clock.now(),
        release: None,
    };
    Ok(Judged {
        verdict,
        draft,
        filed,
        authentication,
        report,
    })
}

/// The built-in filter before all others: checks who the message is from, and removes what only pretends to be our word on that.
async fn authenticate(
    services: &Services,
    session: &Session,
    sender: Option<verify::Sender>,
    content: &Content,
    draft: &mut Draft,
    run: &mut Run,
    keeper: Keeper,
) -> io::Result<Checked> {
    // What has our name on it may come from another filter of the mail server that asks.
    if services.verifier.is_none() && keeper == Keeper::Asker {
        return Ok(Checked::default());
    }
    let started = Instant::now();
    let checked = match (&services.verifier, sender) {
        (Some(verifier), Some(sender)) => verifier.message(sender, content).await?,
        _ => Checked::default(),
    };
    let edits = verify::removals(&draft.message().header, &session.server_name);
    if services.verifier.is_none() && edits.is_empty() {
        return Ok(checked);
    }
    draft.apply(&edits);
    let verdict = match &checked.ruling.refusal {
        Some(reply) if reply.is_temporary() => Verdict::Tempfail(reply.clone()),
        Some(reply) => Verdict::Reject(reply.clone()),
        None => Verdict::Continue,
    };
    run.authenticated(&checked.results);
    run.built_in(Turn {
        filter: verify::FILTER.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hook: Hook::Message,
        mode: Mode::Active,
        recipient: None,
        about: None,
        result: Ok(verdict.clone()),
        verdict,
        symbols: checked.ruling.symbols.clone(),
        edits,
        refused: Vec::new(),
        log: Vec::new(),
        elapsed: started.elapsed(),
        memory: 0,
        host_calls: 0,
        calls: Vec::new(),
    });
    Ok(checked)
}

/// What the policy makes of the score; `filed` gets the mailbox that it asks for.
pub(super) fn rule(
    services: &Services,
    id: &TransactionId,
    score: f32,
    filed: &mut Option<(String, String)>,
) -> Verdict {
    match services.config.policy.rule(score) {
        Ruling::Deliver => Verdict::Continue,
        Ruling::Junk => {
            let why = format!("score {score:.1} reaches the policy's junk threshold");
            *filed = Some((JUNK.to_owned(), why));
            Verdict::Continue
        }
        Ruling::Reject => Verdict::Reject(Reply::new(
            550,
            EnhancedCode(5, 7, 1),
            &format!("Refused as {id}: judged to be spam (score {score:.1})"),
        )),
    }
}
