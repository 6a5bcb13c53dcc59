//! Where a message goes for each recipient: the `deliver` hook, what holds it, the mailbox and the copy for it.
//! Doesn't know what the client is told, nor commits anything.

use super::report::{Group, Report};
use super::trace;
use crate::chain::{Draft, Run};
use crate::mail::{Address, Aside, Disposition, Reply, Stop, Verdict};
use crate::store::{AccountId, DeliveryCopy, MailboxName};
use jiff::Timestamp;
use std::io;

/// A message on its way to its recipients.
pub(super) struct Sorter<'t> {
    pub report: &'t Report,
    pub run: &'t mut Run,
    pub draft: &'t mut Draft,
    /// The field Authentication-Results, or nothing.
    pub authentication: String,
    /// When it came.
    pub received: Timestamp,
}

pub(super) enum Place {
    Filed {
        mailbox: MailboxName,
        why: String,
    },
    Aside {
        aside: Aside,
        stop: Stop,
        why: String,
    },
    Discarded,
    Refused(Reply),
}

impl Sorter<'_> {
    /// As the filters want it at `deliver`.
    pub async fn ask(&mut self, recipient: &Address) -> Place {
        let answer = self
            .run
            .deliver(recipient.clone(), &self.report.envelope, self.draft)
            .await;
        match answer {
            Verdict::Continue | Verdict::Accept => match self.run.held(recipient) {
                Some((stop, why)) => Place::Aside {
                    aside: Aside::Hold,
                    stop,
                    why,
                },
                None => self.filed(recipient),
            },
            Verdict::Quarantine(why) => self.quarantined(why),
            Verdict::Discard => Place::Discarded,
            Verdict::Reject(reply) | Verdict::Tempfail(reply) => Place::Refused(reply),
        }
    }

    /// By the filter that ended the chain.
    pub fn quarantined(&self, why: String) -> Place {
        match self.run.stop().cloned() {
            Some(stop) => Place::Aside {
                aside: Aside::Quarantine,
                stop,
                why,
            },
            // Nobody was asked, so nobody can have said it.
            None => Place::Discarded,
        }
    }

    /// Where the edits so far file it.
    pub fn filed(&self, recipient: &Address) -> Place {
        let (mailbox, why) = self
            .draft
            .filing(recipient)
            .mailbox
            .unwrap_or_else(|| (MailboxName::INBOX.to_owned(), "no filter filed it".into()));
        let mailbox = MailboxName::new(&mailbox).unwrap_or_else(|error| {
            tracing::warn!(transaction = self.report.id.as_str(), mailbox, %error, "filed into INBOX instead");
            MailboxName::inbox()
        });
        Place::Filed { mailbox, why }
    }

    fn copy(
        &self,
        disposition: usize,
        recipient: &Address,
        account: AccountId,
        mailbox: MailboxName,
    ) -> io::Result<DeliveryCopy> {
        let fields = trace::fields(
            &self.report.id,
            &self.report.session,
            &self.report.envelope,
            recipient,
            &self.authentication,
            self.received,
        );
        Ok(DeliveryCopy {
            disposition,
            account,
            mailbox,
            flags: self.draft.filing(recipient).flags,
            content: trace::render(&self.draft.message_for(recipient), &fields)?,
        })
    }
}

/// What comes of all recipients together.
#[derive(Default)]
pub(super) struct Places {
    pub copies: Vec<DeliveryCopy>,
    pub dispositions: Vec<Disposition>,
    pub groups: Vec<Group>,
}

impl Places {
    /// For the next recipient, in the order of the envelope. `instead` says what is journalled of what goes nowhere.
    pub fn push(
        &mut self,
        sorter: &Sorter<'_>,
        recipient: &Address,
        account: AccountId,
        place: Place,
        instead: impl FnOnce(Option<&Reply>) -> Disposition,
    ) -> io::Result<()> {
        let index = self.dispositions.len();
        let disposition = match place {
            Place::Filed { mailbox, why } => {
                self.copies
                    .push(sorter.copy(index, recipient, account, mailbox.clone())?);
                Disposition::Filed {
                    mailbox: mailbox.as_str().to_owned(),
                    uid: 0,
                    why,
                }
            }
            Place::Aside { aside, stop, why } => {
                set_aside(&mut self.groups, index, aside, stop, why.clone());
                Disposition::Quarantined {
                    id: 0,
                    why,
                    then: None,
                }
            }
            Place::Discarded => instead(None),
            Place::Refused(reply) => instead(Some(&reply)),
        };
        self.dispositions.push(disposition);
        Ok(())
    }
}

/// Recipients for whom it is set aside for the same reason share one entry.
pub(super) fn set_aside(
    groups: &mut Vec<Group>,
    index: usize,
    aside: Aside,
    stop: Stop,
    why: String,
) {
    let same = |group: &&mut Group| group.aside == aside && group.stop == stop && group.why == why;
    match groups.iter_mut().find(same) {
        Some(group) => group.recipients.push(index),
        None => groups.push(Group {
            aside,
            stop,
            why,
            recipients: vec![index],
        }),
    }
}
