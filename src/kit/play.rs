//! A message through filters, hook by hook, as `accept` does it, but without a store: nothing is delivered.

use crate::chain::{Chain, Draft, Ended, Policy, Ruling, Run};
use crate::mail::{
    Address, Content, EnhancedCode, Envelope, Filter, Hook, Message, Reply, Session, TransactionId,
    Turn, Verdict,
};
use std::io;
use std::sync::Arc;

/// What goes in.
#[derive(Debug, Clone)]
pub struct Play {
    pub session: Session,
    pub envelope: Envelope,
    pub message: Content,
    /// None: no sum of scores means anything.
    pub policy: Option<Policy>,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    /// Of the message, or of the hook before it that ended the transaction.
    pub verdict: Verdict,
    /// The hook that `verdict` is of.
    pub hook: Hook,
    /// Recipients for whom `rcpt` or `deliver` said something else than `continue`.
    pub recipients: Vec<(Address, Verdict)>,
    /// The message as it came.
    pub before: Message,
    pub draft: Draft,
    pub ended: Ended,
    /// Of the hook `connect`, which has a run of its own.
    pub connect: Vec<Turn>,
}

impl Done {
    pub fn turns(&self) -> impl Iterator<Item = &Turn> {
        self.connect.iter().chain(&self.ended.turns)
    }
}

/// Fails only if the message cannot be read.
pub async fn play(filters: &[Arc<dyn Filter>], play: Play) -> io::Result<Done> {
    let chain = Chain {
        generation: 1,
        filters: filters.into(),
    };
    let session = Arc::new(play.session);
    let before = Message::new(play.message)?;
    let mut state = Transaction {
        run: Run::new(
            chain.clone(),
            Arc::clone(&session),
            Some(TransactionId::new(0, 0)),
        ),
        recipients: Vec::new(),
        draft: Draft::new(before.clone(), &play.envelope.recipients),
    };
    let mut connect = Run::new(chain, session, None);
    let (hook, verdict) = match connect.connect().await {
        refused @ (Verdict::Reject(_) | Verdict::Tempfail(_)) => (Hook::Connect, refused),
        _ => state.go(play.envelope, play.policy).await,
    };
    Ok(Done {
        verdict,
        hook,
        recipients: state.recipients,
        before,
        draft: state.draft,
        ended: state.run.end(),
        connect: connect.end().turns,
    })
}

struct Transaction {
    run: Run,
    recipients: Vec<(Address, Verdict)>,
    draft: Draft,
}

impl Transaction {
    async fn go(&mut self, mut envelope: Envelope, policy: Option<Policy>) -> (Hook, Verdict) {
        let asked = std::mem::take(&mut envelope.recipients);
        let mut envelope = Arc::new(envelope);
        if let refused @ (Verdict::Reject(_) | Verdict::Tempfail(_)) =
            self.run.mail(&envelope).await
        {
            return (Hook::Mail, refused);
        }
        for recipient in asked {
            let address = recipient.address.clone();
            match self.run.rcpt(address.clone(), &envelope).await {
                refused @ (Verdict::Reject(_) | Verdict::Tempfail(_)) => {
                    self.recipients.push((address, refused));
                }
                _ => Arc::make_mut(&mut envelope).recipients.push(recipient),
            }
        }
        if envelope.recipients.is_empty() && !self.recipients.is_empty() {
            // No client sends a message that nobody may get.
            return (Hook::Rcpt, Verdict::Continue);
        }
        let mut verdict = self.run.message(&envelope, &mut self.draft).await;
        if let (Verdict::Continue, Some(policy)) = (&verdict, policy) {
            verdict = self.rule(policy);
        }
        if matches!(verdict, Verdict::Continue | Verdict::Accept) {
            for recipient in &envelope.recipients {
                let address = recipient.address.clone();
                let answer = self
                    .run
                    .deliver(address.clone(), &envelope, &mut self.draft)
                    .await;
                if answer != Verdict::Continue {
                    self.recipients.push((address, answer));
                }
            }
        }
        (Hook::Message, verdict)
    }

    fn rule(&mut self, policy: Policy) -> Verdict {
        match policy.rule(self.run.score()) {
            Ruling::Deliver => Verdict::Continue,
            Ruling::Junk => {
                self.draft.file_by_default("Junk", "score");
                Verdict::Continue
            }
            Ruling::Reject => {
                Verdict::Reject(Reply::new(550, EnhancedCode(5, 7, 1), "Refused as spam"))
            }
        }
    }
}
