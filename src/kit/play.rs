//! A message through filters, hook by hook, as `accept` does it, but without a store: nothing is delivered.

use crate::chain::{Chain, Draft, Ended, Policy, Ruling, Run, greet};
use crate::mail::{
    Address, AuthenticationResult, Call, Content, EnhancedCode, Envelope, Filter, Hook, Message,
    Recipient, Reply, Session, TransactionId, Turn, Verdict,
};
use crate::plugin::Input;
use std::io;
use std::sync::Arc;

/// What goes in.
#[derive(Debug, Clone)]
pub struct Play {
    pub id: TransactionId,
    pub session: Session,
    pub envelope: Envelope,
    pub message: Content,
    /// What was found of the sender.
    pub authentication: Vec<AuthenticationResult>,
    /// None: no sum of scores means anything.
    pub policy: Option<Policy>,
    /// Empty: `deliver` is asked. Else `relay`, with the first of them unless a filter names another.
    pub next_hops: Arc<[String]>,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    /// Of the message, or of the hook before it that ended the transaction.
    pub verdict: Verdict,
    /// The hook that `verdict` is of.
    pub hook: Hook,
    /// Recipients for whom `rcpt`, `deliver` or `relay` said something else than `continue`.
    pub recipients: Vec<(Address, Verdict)>,
    /// The message as it came.
    pub before: Message,
    pub draft: Draft,
    /// As filters left it.
    pub envelope: Arc<Envelope>,
    pub ended: Ended,
}

impl Done {
    pub fn turns(&self) -> impl Iterator<Item = &Turn> {
        self.ended.turns.iter()
    }
}

/// An empty message from nobody to nobody.
impl Default for Play {
    fn default() -> Self {
        Self {
            id: TransactionId::new(0, 0),
            session: Session::default(),
            envelope: Envelope::default(),
            message: Content::from_bytes(""),
            authentication: Vec::new(),
            policy: None,
            next_hops: Arc::new([]),
        }
    }
}

impl From<Input> for Play {
    fn from(input: Input) -> Self {
        Self {
            session: input.session,
            envelope: input.envelope,
            message: input.message,
            ..Self::default()
        }
    }
}

/// Fails only if the message cannot be read.
pub async fn play(filters: &[Arc<dyn Filter>], play: Play) -> io::Result<Done> {
    let chain = Chain {
        generation: 1,
        filters: filters.into(),
    };
    let before = Message::new(play.message)?;
    let mut session = Arc::new(play.session);
    let refused = greeted(&chain, &mut session).await;
    let mut envelope = play.envelope;
    let asked = std::mem::take(&mut envelope.recipients);
    let mut state = Transaction {
        run: Run::new(chain, session, Some(play.id))
            .greeted()
            .relaying(Arc::clone(&play.next_hops)),
        next_hops: play.next_hops,
        recipients: Vec::new(),
        draft: Draft::new(before.clone(), &[]),
        envelope: Arc::new(envelope),
    };
    state.run.authenticated(&play.authentication);
    let (hook, verdict) = match refused {
        Some(refused) => refused,
        None => state.go(asked, play.policy).await,
    };
    Ok(Done {
        verdict,
        hook,
        recipients: state.recipients,
        before,
        draft: state.draft,
        envelope: state.envelope,
        ended: state.run.end(),
    })
}

/// The hooks before any transaction. If they turn the client away, which one and how.
async fn greeted(chain: &Chain, session: &mut Arc<Session>) -> Option<(Hook, Verdict)> {
    let helo = std::mem::take(&mut Arc::make_mut(session).helo);
    for call in [Call::Connect, Call::Helo(helo.clone())] {
        let hook = call.hook();
        if hook == Hook::Helo {
            Arc::make_mut(session).helo.clone_from(&helo);
        }
        let verdict = greet(chain.clone(), session, call).await;
        if let refused @ (Verdict::Reject(_) | Verdict::Tempfail(_)) = verdict {
            return Some((hook, refused));
        }
    }
    None
}

struct Transaction {
    run: Run,
    next_hops: Arc<[String]>,
    recipients: Vec<(Address, Verdict)>,
    draft: Draft,
    envelope: Arc<Envelope>,
}

impl Transaction {
    async fn go(&mut self, asked: Vec<Recipient>, policy: Option<Policy>) -> (Hook, Verdict) {
        if let refused @ (Verdict::Reject(_) | Verdict::Tempfail(_)) =
            self.run.mail(&mut self.envelope).await
        {
            return (Hook::Mail, refused);
        }
        let (mut taken, attempted) = (false, !asked.is_empty());
        for recipient in asked {
            let address = recipient.address.clone();
            if self.envelope.has(&address) {
                taken = true;
                continue;
            }
            match self.run.rcpt(address.clone(), &mut self.envelope).await {
                refused @ (Verdict::Reject(_) | Verdict::Tempfail(_)) => {
                    self.recipients.push((address, refused));
                }
                _ => {
                    taken = true;
                    if !self.envelope.has(&address) {
                        Arc::make_mut(&mut self.envelope).recipients.push(recipient);
                    }
                }
            }
        }
        if attempted && !taken {
            // No client sends a message that nobody may get.
            return (Hook::Rcpt, Verdict::Continue);
        }
        self.draft = Draft::new(self.draft.message().clone(), &self.envelope.recipients);
        let mut verdict = self.run.message(&mut self.envelope, &mut self.draft).await;
        if let (Verdict::Continue, Some(policy)) = (&verdict, policy) {
            verdict = self.rule(policy);
        }
        if attempted && self.envelope.recipients.is_empty() && goes_on(&verdict) {
            verdict = Verdict::Discard;
        }
        if goes_on(&verdict) {
            let envelope = Arc::clone(&self.envelope);
            for recipient in &envelope.recipients {
                let address = recipient.address.clone();
                let (run, draft) = (&mut self.run, &mut self.draft);
                let answer = match self.next_hops.first() {
                    None => run.deliver(address.clone(), &envelope, draft).await,
                    Some(default) => {
                        let hop = run.via(Some(&address)).unwrap_or(default).to_owned();
                        run.relay(address.clone(), hop, &envelope, draft).await
                    }
                };
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

fn goes_on(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Continue | Verdict::Accept)
}
