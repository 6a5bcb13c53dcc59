//! New messages: deliveries with their journal, and APPEND. What can be done before the writer's turn is done before it.
//! Does not know what the chain decided, only where the copies go.

use super::blobs::{self, Kind, Landed};
use super::encoding::{encode_long, encode_splices, signed, to_millis};
use super::flags::Marks;
use super::journal::Entry;
use super::mailboxes::{self, Next};
use super::messages::{self, Item};
use super::writer::Change;
use super::{SqliteStore, quarantine};
use crate::mail::{Content, Departure, Disposition, Journal, Where};
use crate::store::{AccountId, Append, Delivery, Leaving, MailboxId, MailboxName, StoreError};
use jiff::Timestamp;
use std::collections::HashMap;

/// A new message that needs only its place.
#[derive(Debug)]
struct Draft {
    marks: Marks,
    date: i64,
    size: i64,
    /// Index of its received octets among those of the same change.
    octets: usize,
    splices: Vec<u8>,
    /// Which splices put in long octets, and the index of these among those of the change.
    long: Vec<(u64, usize)>,
}

/// The octets of a change, received or put in by splices, each once.
#[derive(Default)]
struct Distinct {
    contents: Vec<Content>,
}

impl Distinct {
    fn draft(
        &mut self,
        content: &Content,
        flags: &crate::store::Flags,
        date: Timestamp,
    ) -> Result<Draft, StoreError> {
        let octets = self.octets(content);
        let splices = encode_splices(content.splices());
        let long = splices.long.iter();
        let long = long.map(|(nth, insert)| (*nth, self.octets(&insert.content())));
        Ok(Draft {
            long: long.collect(),
            marks: Marks::new(flags)?,
            date: to_millis(date),
            size: signed(content.len()),
            octets,
            splices: splices.octets,
        })
    }

    /// The index of its received octets.
    fn octets(&mut self, content: &Content) -> usize {
        let known = self.contents.iter().position(|one| same(one, content));
        known.unwrap_or_else(|| {
            self.contents.push(content.received());
            self.contents.len() - 1
        })
    }
}

/// Whether they are the same octets: the same ones in memory, not equal ones.
fn same(a: &Content, b: &Content) -> bool {
    match (a.in_memory(), b.in_memory()) {
        (Some(a), Some(b)) => a.as_ptr() == b.as_ptr() && a.len() == b.len(),
        (None, None) => a.in_file().map(|(path, _)| path) == b.in_file().map(|(path, _)| path),
        _ => false,
    }
}

/// What of a change's octets is in the index already.
struct Shelf<'s> {
    landed: &'s [Landed],
    blobs: Vec<Option<i64>>,
    /// By the received message that they are laid over, and their index.
    long: HashMap<(i64, usize), i64>,
    versions: HashMap<Version<'s>, i64>,
}

/// What is laid over which received message.
type Version<'s> = (i64, &'s [u8], &'s [(u64, usize)]);

impl<'s> Shelf<'s> {
    fn new(landed: &'s [Landed]) -> Self {
        Self {
            landed,
            blobs: vec![None; landed.len()],
            long: HashMap::new(),
            versions: HashMap::new(),
        }
    }

    fn file(
        &mut self,
        change: &mut Change<'_>,
        next: Next,
        draft: &'s Draft,
    ) -> Result<u32, StoreError> {
        let blob = self.received(change, draft)?;
        let version = self.version(change, blob, draft)?;
        let item = Item {
            marks: draft.marks.clone(),
            date: draft.date,
            size: draft.size,
            blob,
            version,
        };
        messages::insert(change.index, next, &item)
    }

    /// The received octets, with what this draft lays over them if they are new.
    fn received(&mut self, change: &mut Change<'_>, draft: &'s Draft) -> Result<i64, StoreError> {
        // What is long gets its place only after them.
        if !draft.long.is_empty() {
            return self.blob(change, draft.octets, &[]);
        }
        let is_new = matches!(self.blobs.get(draft.octets), Some(None));
        let blob = self.blob(change, draft.octets, &draft.splices)?;
        if is_new && !draft.splices.is_empty() {
            self.versions.insert((blob, &draft.splices, &[]), 1);
        }
        Ok(blob)
    }

    /// `first`: what lies over them if they are new.
    fn blob(
        &mut self,
        change: &mut Change<'_>,
        at: usize,
        first: &[u8],
    ) -> Result<i64, StoreError> {
        if let Some(Some(blob)) = self.blobs.get(at) {
            return Ok(*blob);
        }
        let blob = blobs::insert(change, self.landed(at)?, Kind::Received(first))?;
        if let Some(slot) = self.blobs.get_mut(at) {
            *slot = Some(blob);
        }
        Ok(blob)
    }

    fn landed(&self, at: usize) -> Result<&'s Landed, StoreError> {
        let landed = self.landed.get(at);
        landed.ok_or_else(|| StoreError::Failed("a message has no octets".into()))
    }

    fn version(
        &mut self,
        change: &mut Change<'_>,
        blob: i64,
        draft: &'s Draft,
    ) -> Result<i64, StoreError> {
        if draft.splices.is_empty() {
            return Ok(0);
        }
        let key = (blob, draft.splices.as_slice(), draft.long.as_slice());
        if let Some(version) = self.versions.get(&key) {
            return Ok(*version);
        }
        let mut long = Vec::with_capacity(draft.long.len());
        for (nth, at) in &draft.long {
            let laid = match self.long.get(&(blob, *at)) {
                Some(laid) => *laid,
                None => {
                    let laid = blobs::insert(change, self.landed(*at)?, Kind::LaidOver(blob))?;
                    self.long.insert((blob, *at), laid);
                    laid
                }
            };
            long.push((*nth, laid));
        }
        let others = self.versions.keys().filter(|(of, ..)| *of == blob).count();
        let version = signed(others as u64 + 1);
        let long = encode_long(&long);
        blobs::insert_splices(change.index, blob, version, &draft.splices, long.as_deref())?;
        self.versions.insert(key, version);
        Ok(version)
    }
}

struct Placement {
    disposition: usize,
    account: AccountId,
    mailbox: MailboxName,
    draft: Draft,
}

impl SqliteStore {
    /// With what leaves the quarantine by it.
    pub(super) async fn deliver_copies(
        &self,
        delivery: Delivery,
        leaving: Option<Leaving>,
    ) -> Result<Journal, StoreError> {
        let Delivery {
            received_at,
            mut journal,
            copies,
            aside,
        } = delivery;
        let mut distinct = Distinct::default();
        let mut placements = Vec::with_capacity(copies.len());
        for copy in copies {
            placements.push(Placement {
                disposition: copy.disposition,
                account: copy.account,
                draft: distinct.draft(&copy.content, &copy.flags, received_at)?,
                mailbox: copy.mailbox,
            });
        }
        let mut rows = Vec::with_capacity(aside.len());
        for aside in aside {
            let row = quarantine::Row::new(&aside.entry, &aside.held)?;
            rows.push((row, distinct.octets(&aside.content), aside.dispositions));
        }
        let departure = Departure::Released(journal.id.clone());
        let dispositions = std::mem::take(&mut journal.dispositions);
        let entry = Entry::new(&journal)?;
        let landed = self.blobs.land(distinct.contents).await?;
        let when = blobs::when(&landed);
        let change = move |change: &mut Change<'_>| {
            let mut dispositions = dispositions.clone();
            let mut shelf = Shelf::new(&landed);
            for placement in &placements {
                let place = dispositions.get_mut(placement.disposition).ok_or_else(|| {
                    StoreError::Failed("a copy is for no recipient of the journal".into())
                })?;
                let next = mailboxes::next_in(change, placement.account, &placement.mailbox)?;
                let uid = shelf.file(change, next, &placement.draft)?;
                change.touch(placement.account);
                fill_in(place, &placement.mailbox, uid);
            }
            for (row, octets, recipients) in &rows {
                let blob = shelf.blob(change, *octets, &[])?;
                let number = row.insert(change.index, blob)?;
                for at in recipients {
                    if let Some(place) = dispositions.get_mut(*at) {
                        set_aside(place, number);
                    }
                }
            }
            entry.insert(change.index, &dispositions)?;
            if let Some(leaving) = &leaving {
                quarantine::leave(change, leaving, &departure)?;
            }
            Ok(dispositions)
        };
        journal.dispositions = self.writer.change_when(when, change).await?;
        Ok(journal)
    }

    pub(super) async fn append_messages(
        &self,
        mailbox: MailboxId,
        messages: Vec<Append>,
    ) -> Result<Vec<u32>, StoreError> {
        let mut distinct = Distinct::default();
        let drafts = messages
            .into_iter()
            .map(|append| distinct.draft(&append.content, &append.flags, append.internal_date))
            .collect::<Result<Vec<_>, _>>()?;
        let landed = self.blobs.land(distinct.contents).await?;
        let when = blobs::when(&landed);
        let change = move |change: &mut Change<'_>| {
            let (account, _) = mailboxes::by_id(change.index, mailbox)?;
            let mut shelf = Shelf::new(&landed);
            change.touch(account);
            drafts
                .iter()
                .map(|draft| {
                    let next = mailboxes::next(change.index, mailbox)?;
                    shelf.file(change, next, draft)
                })
                .collect()
        };
        self.writer.change_when(when, change).await
    }
}

fn set_aside(place: &mut Where, number: u64) {
    if let Disposition::Quarantined { id, .. } = &mut place.disposition {
        *id = number;
    }
}

fn fill_in(place: &mut Where, name: &MailboxName, number: u32) {
    if let Disposition::Filed { mailbox, uid, .. } = &mut place.disposition {
        *mailbox = name.to_string();
        *uid = number;
    }
}
