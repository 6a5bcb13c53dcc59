//! A selected mailbox as its client knows it: sequence numbers, flags, and what it is still to be told (RFC 3501 §7.4.1).
//! Changes nothing in the store.

use crate::proto::imap::{Ranges, date_time, flags};
use crate::store::{Changes, Flags, Mailbox, MailboxId, MailboxName, MessageMeta};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashSet};
use std::io::Write;
use std::sync::Arc;

/// RFC 3501 §2.3.2, without \Recent, which no client can set.
pub(super) const SYSTEM_FLAGS: [&str; 5] =
    ["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"];

/// One message. Some 40 octets: a mailbox of 100,000 messages costs 4 MB for each session that has it selected.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub uid: u32,
    pub recent: bool,
    pub flags: Arc<Flags>,
    pub internal_date: Timestamp,
    pub size: u64,
}

impl Row {
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own.eq_ignore_ascii_case(flag))
    }

    pub fn write_flags(&self, out: &mut Vec<u8>) {
        let recent = self.recent.then_some("\\Recent");
        flags(out, self.flags.iter().map(String::as_str).chain(recent));
    }

    pub fn write_date(&self, out: &mut Vec<u8>) {
        date_time(out, self.internal_date);
    }
}

/// Whether a client may be told of expunged messages now: its sequence numbers change with that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expunges {
    Tell,
    Keep,
}

#[derive(Debug)]
pub(super) struct Selected {
    pub id: MailboxId,
    pub name: MailboxName,
    pub read_only: bool,
    /// By sequence number. Those that are gone stay until the client is told.
    pub rows: Vec<Row>,
    gone: BTreeSet<u32>,
    /// All up to here is known.
    pub modseq: u64,
    /// Flags that are in use beside the system's.
    keywords: BTreeSet<String>,
    new_keywords: bool,
    /// Sets of flags that occur, each held once.
    sets: HashSet<Arc<Flags>>,
    /// To be told: sequence numbers stay right as long as nothing is removed.
    changed: BTreeSet<u32>,
    told: usize,
}

impl Selected {
    /// `recent_from`: the UID from which on messages are recent.
    pub fn new(
        mailbox: &Mailbox,
        messages: Vec<MessageMeta>,
        recent_from: u32,
        read_only: bool,
    ) -> Self {
        let mut selected = Self {
            id: mailbox.id,
            name: mailbox.name.clone(),
            read_only,
            rows: Vec::with_capacity(messages.len()),
            gone: BTreeSet::new(),
            modseq: mailbox.highest_modseq,
            keywords: BTreeSet::new(),
            new_keywords: false,
            sets: HashSet::new(),
            changed: BTreeSet::new(),
            told: 0,
        };
        for meta in messages {
            selected.add(meta, recent_from);
        }
        selected.told = selected.rows.len();
        selected
    }

    fn add(&mut self, meta: MessageMeta, recent_from: u32) {
        let flags = self.interned(meta.flags);
        self.rows.push(Row {
            uid: meta.uid,
            recent: meta.uid >= recent_from,
            flags,
            internal_date: meta.internal_date,
            size: meta.size,
        });
    }

    fn interned(&mut self, flags: Flags) -> Arc<Flags> {
        if let Some(known) = self.sets.get(&flags) {
            return Arc::clone(known);
        }
        for flag in flags.iter().filter(|flag| !flag.starts_with('\\')) {
            self.new_keywords |= self.keywords.insert(flag.clone());
        }
        let flags = Arc::new(flags);
        self.sets.insert(Arc::clone(&flags));
        flags
    }

    pub fn last_uid(&self) -> u32 {
        self.rows.last().map_or(0, |row| row.uid)
    }

    /// Where the message of that UID is.
    pub fn position(&self, uid: u32) -> Option<usize> {
        self.rows.binary_search_by_key(&uid, |row| row.uid).ok()
    }

    /// Where the messages of a set are, ascending. `None` if a sequence number is too large (RFC 3501 §9 seq-number).
    pub fn positions(
        &self,
        set: &imap_types::sequence::SequenceSet,
        by_uid: bool,
    ) -> Option<Vec<usize>> {
        let count = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        if by_uid {
            let ranges = Ranges::new(set, self.last_uid());
            let mut positions = Vec::new();
            for (from, to) in ranges.iter() {
                let start = self.rows.partition_point(|row| row.uid < from);
                let end = self.rows.partition_point(|row| row.uid <= to);
                positions.extend(start..end);
            }
            return Some(positions);
        }
        let ranges = Ranges::new(set, count);
        let in_range = |(from, to): (u32, u32)| from >= 1 && to <= count;
        if !ranges.iter().all(in_range) {
            return None;
        }
        let zero_based = |(from, to): (u32, u32)| from as usize - 1..to as usize;
        Some(ranges.iter().flat_map(zero_based).collect())
    }

    /// Takes in what the store says of one message after a change that this session made. Whether it differs from what was known.
    pub fn update(&mut self, meta: &MessageMeta) -> bool {
        let flags = self.interned(meta.flags.clone());
        let Some(at) = self.position(meta.uid) else {
            return false;
        };
        self.rows.get_mut(at).is_some_and(|row| {
            let differs = row.flags != flags;
            row.flags = flags;
            differs
        })
    }

    /// The client is to be told the flags of this message at the next occasion.
    pub fn note_changed(&mut self, uid: u32) {
        self.changed.insert(uid);
    }

    /// Takes in what others have changed.
    pub fn apply(&mut self, changes: Changes, recent_from: u32) {
        let last = self.last_uid();
        for meta in changes.changed {
            if meta.uid > last {
                self.add(meta, recent_from);
            } else if self.update(&meta) {
                self.changed.insert(meta.uid);
            }
        }
        let known = changes
            .expunged
            .into_iter()
            .filter(|uid| self.rows.binary_search_by_key(uid, |row| row.uid).is_ok());
        self.gone.extend(known);
        self.modseq = self.modseq.max(changes.highest_modseq);
    }

    /// Writes what the client has not been told: EXPUNGE, EXISTS, RECENT, FLAGS, FETCH (RFC 3501 §5.2).
    pub fn tell(&mut self, expunges: Expunges, out: &mut Vec<u8>) {
        if expunges == Expunges::Tell && !self.gone.is_empty() {
            let mut removed = 0;
            let (gone, told) = (&self.gone, self.told);
            for (index, row) in self.rows.iter().enumerate() {
                // Those that it was never told of just do not appear.
                if gone.contains(&row.uid) && index < told {
                    let _ = write!(out, "* {} EXPUNGE\r\n", index + 1 - removed);
                    removed += 1;
                }
            }
            self.told -= removed;
            for uid in &self.gone {
                self.changed.remove(uid);
            }
            self.rows.retain(|row| !gone.contains(&row.uid));
            self.gone.clear();
        }
        if self.rows.len() > self.told {
            let _ = write!(out, "* {} EXISTS\r\n", self.rows.len());
            let _ = write!(out, "* {} RECENT\r\n", self.recent());
            self.told = self.rows.len();
        }
        if self.new_keywords {
            self.write_keywords(out);
        }
        for uid in std::mem::take(&mut self.changed) {
            let Some(at) = self.position(uid) else {
                continue;
            };
            if let Some(row) = self.rows.get(at) {
                let _ = write!(out, "* {} FETCH (UID {uid} FLAGS ", at + 1);
                row.write_flags(out);
                out.extend_from_slice(b")\r\n");
            }
        }
    }

    pub fn recent(&self) -> usize {
        self.rows.iter().filter(|row| row.recent).count()
    }

    /// FLAGS and PERMANENTFLAGS (RFC 3501 §7.2.6, §7.1).
    pub fn write_keywords(&mut self, out: &mut Vec<u8>) {
        self.new_keywords = false;
        let keywords = || self.keywords.iter().map(String::as_str);
        out.extend_from_slice(b"* FLAGS ");
        flags(out, SYSTEM_FLAGS.into_iter().chain(keywords()));
        out.extend_from_slice(b"\r\n* OK [PERMANENTFLAGS ");
        match self.read_only {
            true => flags(out, []),
            false => flags(
                out,
                SYSTEM_FLAGS.into_iter().chain(keywords()).chain(["\\*"]),
            ),
        }
        out.extend_from_slice(b"] Flags that stay\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MailboxName;

    fn meta(uid: u32, flags: &[&str]) -> MessageMeta {
        MessageMeta {
            uid,
            flags: flags.iter().map(ToString::to_string).collect(),
            modseq: 1,
            internal_date: Timestamp::UNIX_EPOCH,
            size: 1,
        }
    }

    fn selected(uids: &[u32]) -> Selected {
        let mailbox = Mailbox {
            id: MailboxId(1),
            name: MailboxName::inbox(),
            special_use: None,
            uid_validity: 1,
            uid_next: 100,
            highest_modseq: 1,
            messages: 0,
            unseen: 0,
        };
        let messages = uids.iter().map(|uid| meta(*uid, &[])).collect();
        Selected::new(&mailbox, messages, 100, false)
    }

    fn told(selected: &mut Selected, expunges: Expunges) -> String {
        let mut out = Vec::new();
        selected.tell(expunges, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn expunged(uids: &[u32]) -> Changes {
        Changes {
            expunged: uids.to_vec(),
            ..Changes::default()
        }
    }

    #[test]
    fn expunges_are_numbered_as_the_client_counts() {
        let mut selected = selected(&[10, 20, 30, 40, 50]);
        selected.apply(expunged(&[20, 30, 50]), 100);
        assert_eq!(told(&mut selected, Expunges::Keep), "");
        assert_eq!(
            told(&mut selected, Expunges::Tell),
            "* 2 EXPUNGE\r\n* 2 EXPUNGE\r\n* 3 EXPUNGE\r\n"
        );
        assert_eq!(selected.position(40), Some(1));
    }

    #[test]
    fn kept_expunges_count_in_exists() {
        let mut selected = selected(&[10, 20]);
        let mut changes = expunged(&[10]);
        changes.changed = vec![meta(101, &[])];
        selected.apply(changes, 100);
        assert_eq!(
            told(&mut selected, Expunges::Keep),
            "* 3 EXISTS\r\n* 1 RECENT\r\n"
        );
        assert_eq!(told(&mut selected, Expunges::Tell), "* 1 EXPUNGE\r\n");
    }

    #[test]
    fn what_came_and_went_untold_is_not_told() {
        let mut selected = selected(&[10]);
        selected.apply(
            Changes {
                changed: vec![meta(101, &[])],
                ..Changes::default()
            },
            200,
        );
        selected.apply(expunged(&[101]), 200);
        assert_eq!(told(&mut selected, Expunges::Tell), "");
        assert_eq!(selected.rows.len(), 1);
    }

    #[test]
    fn changed_flags_are_told_once_and_new_keywords_before_them() {
        let mut selected = selected(&[10, 20]);
        let changes = Changes {
            changed: vec![meta(10, &[]), meta(20, &["\\Seen", "$Label1"])],
            ..Changes::default()
        };
        selected.apply(changes.clone(), 100);
        let text = told(&mut selected, Expunges::Keep);
        assert!(
            text.starts_with("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Label1)\r\n")
        );
        assert!(text.ends_with("* 2 FETCH (UID 20 FLAGS ($Label1 \\Seen))\r\n"));
        selected.apply(changes, 100);
        assert_eq!(told(&mut selected, Expunges::Keep), "");
    }

    #[test]
    fn sets_by_number_and_by_uid() {
        let selected = selected(&[10, 20, 30]);
        let set = |text: &str| imap_types::sequence::SequenceSet::try_from(text).unwrap();
        assert_eq!(selected.positions(&set("2:*"), false), Some(vec![1, 2]));
        assert_eq!(selected.positions(&set("4"), false), None);
        assert_eq!(selected.positions(&set("15:25,30"), true), Some(vec![1, 2]));
        assert_eq!(selected.positions(&set("99:*"), true), Some(vec![2]));
        assert_eq!(selected.positions(&set("99"), true), Some(vec![]));
    }
}
