//! Random sequences of changes, against maps in memory; and the changes since each point in time, replayed on what was there then.

use super::{Backend, Place, flags, time};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use wasmilter::mail::Content;
use wasmilter::store::{Append, Copying, FlagChange, FlagOp, Flags, MailboxId};

#[derive(Debug, Clone)]
enum Step {
    Append(usize, Vec<Flags>),
    Flag(usize, Vec<u32>, FlagOp, Flags),
    Copy(usize, usize, Vec<u32>, bool),
    Expunge(usize, Option<Vec<u32>>),
}

fn step() -> impl Strategy<Value = Step> {
    let mailbox = || 0usize..3;
    let uids = || prop::collection::vec(1u32..12, 0..6);
    let set = || {
        prop::sample::subsequence(
            vec!["\\Seen", "\\Deleted", "\\Flagged", "key", "$Junk"],
            0..4,
        )
        .prop_map(|chosen| flags(&chosen.join(" ")))
    };
    let op = prop::sample::select(vec![FlagOp::Add, FlagOp::Remove, FlagOp::Replace]);
    prop_oneof![
        (mailbox(), prop::collection::vec(set(), 0..4))
            .prop_map(|(to, sets)| Step::Append(to, sets)),
        (mailbox(), uids(), op, set())
            .prop_map(|(at, uids, op, set)| Step::Flag(at, uids, op, set)),
        (mailbox(), mailbox(), uids(), any::<bool>())
            .prop_map(|(from, to, uids, r#move)| Step::Copy(from, to, uids, r#move)),
        (mailbox(), prop::option::of(uids())).prop_map(|(at, uids)| Step::Expunge(at, uids)),
    ]
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    /// By UID: what is in it, and its flags.
    messages: BTreeMap<u32, (String, Flags)>,
    last_uid: u32,
}

impl Model {
    fn add(&mut self, text: String, flags: Flags) -> u32 {
        self.last_uid += 1;
        self.messages.insert(self.last_uid, (text, flags));
        self.last_uid
    }
}

fn apply(models: &mut [Model; 3], step: &Step, texts: &[String]) {
    match step {
        Step::Append(to, sets) => {
            for (set, text) in sets.iter().zip(texts) {
                models[*to].add(text.clone(), set.clone());
            }
        }
        Step::Flag(at, uids, op, set) => {
            for uid in uids {
                if let Some((_, now)) = models[*at].messages.get_mut(uid) {
                    *now = match op {
                        FlagOp::Add => &*now | set,
                        FlagOp::Remove => &*now - set,
                        FlagOp::Replace => set.clone(),
                    };
                }
            }
        }
        Step::Copy(from, to, uids, r#move) => {
            let originals = models[*from].messages.clone();
            for (uid, (text, set)) in originals.into_iter().filter(|(uid, _)| uids.contains(uid)) {
                models[*to].add(text, set);
                if *r#move {
                    models[*from].messages.remove(&uid);
                }
            }
        }
        Step::Expunge(at, uids) => {
            let chosen = |uid: &u32| uids.as_ref().is_none_or(|uids| uids.contains(uid));
            models[*at]
                .messages
                .retain(|uid, (_, set)| !(chosen(uid) && set.contains("\\Deleted")));
        }
    }
}

pub async fn random_changes_agree_with_a_simple_model<B: Backend>() {
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..24 {
        let steps = prop::collection::vec(step(), 1..24);
        let steps = steps.new_tree(&mut runner).unwrap().current();
        run::<B>(&steps).await;
    }
}

type Snapshot = (u64, BTreeMap<u32, Flags>);

async fn run<B: Backend>(steps: &[Step]) {
    let place = Place::<B>::new().await;
    let mut ids = Vec::new();
    for name in ["INBOX", "Junk", "Trash"] {
        ids.push(place.mailbox(name).await.id);
    }
    let mut models = <[Model; 3]>::default();
    let mut past: [Vec<Snapshot>; 3] = Default::default();
    for (number, step) in steps.iter().enumerate() {
        let texts: Vec<_> = (0..4).map(|at| format!("{number}.{at}")).collect();
        take(&place, &ids, step, &texts).await;
        apply(&mut models, step, &texts);
        for (at, id) in ids.iter().enumerate() {
            let now = snapshot(&place, *id).await;
            let model = models[at]
                .messages
                .iter()
                .map(|(uid, (_, set))| (*uid, set.clone()));
            assert_eq!(now.1, model.collect(), "after {:?}", &steps[..=number]);
            for (modseq, then) in &past[at] {
                let changes = place.store.changes(*id, *modseq).await.unwrap();
                let mut replayed = then.clone();
                // What came and went in between is not known from then.
                changes
                    .expunged
                    .iter()
                    .for_each(|uid| drop(replayed.remove(uid)));
                replayed.extend(
                    changes
                        .changed
                        .into_iter()
                        .map(|message| (message.uid, message.flags)),
                );
                assert_eq!(
                    replayed,
                    now.1,
                    "since {modseq} after {:?}",
                    &steps[..=number]
                );
                assert_eq!(changes.highest_modseq, now.0);
            }
            past[at].push(now);
        }
    }
    let mailboxes = place.store.mailboxes(place.alice).await.unwrap();
    for (id, model) in ids.iter().zip(&models) {
        let mailbox = mailboxes.iter().find(|mailbox| mailbox.id == *id).unwrap();
        let unseen = model
            .messages
            .values()
            .filter(|(_, set)| !set.contains("\\Seen"));
        assert_eq!(mailbox.messages as usize, model.messages.len());
        assert_eq!(mailbox.unseen as usize, unseen.count());
        assert_eq!(mailbox.uid_next, model.last_uid + 1);
        for (uid, (text, _)) in &model.messages {
            assert_eq!(place.text(*id, *uid).await, *text);
        }
    }
}

async fn snapshot<B: Backend>(place: &Place<B>, id: MailboxId) -> Snapshot {
    let messages = place.store.messages(id).await.unwrap();
    let highest = place
        .store
        .changes(id, u64::MAX)
        .await
        .unwrap()
        .highest_modseq;
    (
        highest,
        messages
            .into_iter()
            .map(|message| (message.uid, message.flags))
            .collect(),
    )
}

async fn take<B: Backend>(place: &Place<B>, ids: &[MailboxId], step: &Step, texts: &[String]) {
    let store = &place.store;
    match step {
        Step::Append(to, sets) => {
            let messages = sets.iter().zip(texts).map(|(set, text)| Append {
                content: Content::from_bytes(text.clone()),
                flags: set.clone(),
                internal_date: time(1),
            });
            store.append(ids[*to], messages.collect()).await.map(drop)
        }
        Step::Flag(at, uids, op, set) => {
            let change = FlagChange {
                op: *op,
                flags: set.clone(),
                unchanged_since: None,
            };
            store.store_flags(ids[*at], uids, change).await.map(drop)
        }
        Step::Copy(from, to, uids, r#move) => {
            let copying = Copying {
                from: ids[*from],
                uids,
                to: ids[*to],
                r#move: *r#move,
            };
            store.copy(copying).await.map(drop)
        }
        Step::Expunge(at, uids) => store.expunge(ids[*at], uids.as_deref()).await.map(drop),
    }
    .unwrap();
}
