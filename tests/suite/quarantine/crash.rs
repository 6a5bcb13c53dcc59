//! Neither a kill nor a full disk loses what is in quarantine, nor doubles what leaves it.

use super::Rig;
use crate::support::{ALICE, process};
use async_trait::async_trait;
use std::sync::Arc;
use wasmilter::accept::{self, Acceptor, NotReleased, Request, Telling};
use wasmilter::auth::{self, Directory};
use wasmilter::chain::{Chain, Policy};
use wasmilter::mail::{
    Address, Call, Content, Envelope, Filter, FilterInfo, FilterRun, Hook, OnError, Outcome,
    Release, Session, SystemClock, Verdict, View,
};
use wasmilter::store::{self, MailboxName, Quarantine, SqliteStore, Store, StoreError};

const GUARD: [(&str, &str); 1] = [("guard", r#"message = ["quarantine looks odd"]"#)];
const MESSAGES: usize = 30;

#[tokio::test]
async fn a_kill_loses_and_doubles_nothing() {
    let mut rig = Rig::new(&GUARD, "").await;
    for number in 0..MESSAGES {
        // Some are small and go into the index, some are large and go into a file of their own.
        let lines = if number % 5 == 0 { 4_000 } else { 1 };
        let body = "Nothing may be lost.\r\n".repeat(lines);
        rig.send(&[ALICE], &format!("Subject: {number}\r\n\r\n{body}"));
    }
    rig.kill();
    // A killed server's quarantine can be read, and the next one has it.
    assert_eq!(rig.ids().len(), MESSAGES);
    let ids: Vec<String> = rig.ids().iter().map(u64::to_string).collect();
    rig.start();
    let file = rig.file();
    let releases = std::thread::spawn(move || {
        let config = ["--config", file.to_str().unwrap()];
        for ids in ids.chunks(3) {
            let ids: Vec<_> = ids.iter().map(String::as_str).collect();
            process::run(
                &[&["quarantine", "release", "--original"], &ids[..], &config].concat(),
                "",
            );
        }
    });
    while rig.ids().len() > MESSAGES / 2 {
        std::thread::yield_now();
    }
    rig.kill();
    releases.join().unwrap();
    rig.start();
    let waiting = rig.list();
    let mut subjects: Vec<String> = waiting
        .iter()
        .map(|entry| entry["subject"].as_str().unwrap().to_owned())
        .collect();
    let mail = rig.mail(ALICE, "INBOX");
    assert!(!mail.is_empty());
    for message in &mail {
        let (_, rest) = message.split_once("\r\nSubject: ").unwrap();
        subjects.push(rest.lines().next().unwrap().to_owned());
    }
    subjects.sort_by_key(|subject| subject.parse::<usize>().unwrap());
    let all: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
    assert_eq!(subjects, all);
    for entry in &waiting {
        rig.done(&["quarantine", "release", &entry["id"].to_string()]);
    }
    assert_eq!(rig.mail(ALICE, "INBOX").len(), MESSAGES);
}

/// Sets everything aside.
struct Guard(FilterInfo);

#[async_trait]
impl FilterRun for Guard {
    async fn call(&mut self, _: &Call, _: View) -> Outcome {
        Outcome::new(Ok(Verdict::Quarantine("looks odd".to_owned())))
    }
}

impl Filter for Guard {
    fn info(&self) -> &FilterInfo {
        &self.0
    }

    fn open(&self) -> Box<dyn FilterRun> {
        Box::new(Self(self.0.clone()))
    }
}

fn acceptor(store: &Arc<SqliteStore>) -> Acceptor {
    let guard = Guard(FilterInfo {
        name: "guard".to_owned(),
        version: "1".to_owned(),
        hooks: [Hook::Message].into_iter().collect(),
        uses: Default::default(),
        on_error: OnError::Tempfail,
    });
    let kept: Arc<dyn Store> = store.clone();
    let users = auth::Config {
        domains: vec!["example.test".into()],
        postmaster: None,
    };
    Acceptor::new(
        accept::Config {
            policy: Policy {
                junk: None,
                reject: None,
            },
            staging: store.staging().to_owned(),
            memory: 1 << 20,
            recipients: 100,
            hygiene: accept::Hygiene::default(),
        },
        Arc::new(Chain {
            generation: 1,
            filters: Arc::new([Arc::new(guard) as Arc<dyn Filter>]),
        }),
        Arc::new(Directory::new(users, kept.clone())),
        kept,
        Arc::new(SystemClock),
    )
}

/// The code of the reply.
async fn send(acceptor: &Acceptor, size: usize) -> u16 {
    let session = Arc::<Session>::default();
    let begun = acceptor.begin(session, Envelope::default(), None).await;
    let mut transaction = begun.unwrap_or_else(|reply| panic!("{reply}"));
    let alice = Address::parse(ALICE).unwrap();
    transaction.recipient(alice.into()).await.unwrap();
    let message = format!("Subject: x\r\n\r\n{}", "text\r\n".repeat(size / 6));
    let content = Content::from_bytes(message);
    let replies = transaction.finish(content, Telling::Whole).await;
    replies.replies.whole().code
}

#[tokio::test]
async fn a_full_disk_is_temporary_on_the_way_in_and_out() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_exclusive(store::Config {
        max_bytes: Some(2 << 20),
        ..store::Config::new(directory.path())
    });
    let store = Arc::new(store.unwrap());
    let alice = Address::parse(ALICE).unwrap();
    let account = store.add_account(&alice, "").await.unwrap();
    let acceptor = acceptor(&store);
    // Its octets are in the index, where they take more room than all that will be left.
    assert_eq!(send(&acceptor, 20_000).await, 250);
    let mut sizes = [200_000, 20_000, 2_000].into_iter();
    let mut size = sizes.next().unwrap();
    // Until there is no room for a small one either.
    loop {
        match send(&acceptor, size).await {
            250 => {}
            452 => match sizes.next() {
                Some(smaller) => size = smaller,
                None => break,
            },
            code => panic!("{code}"),
        }
    }
    let entries = store.quarantined().await.unwrap().entries;
    assert!(entries.len() > 3);
    let request = Request {
        id: 1,
        how: Release::Original,
        to: None,
    };
    // To take it out it would have to be written once more.
    match acceptor.release(&request).await {
        Err(NotReleased::Store(StoreError::Full)) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(store.quarantined().await.unwrap().entries, entries);
    let inbox = store.mailbox(account, &MailboxName::inbox()).await.unwrap();
    assert_eq!(inbox.messages, 0);
    for entry in entries.iter().filter(|entry| entry.id != 1) {
        store.delete_held(entry.id, entry.at).await.unwrap();
    }
    acceptor.release(&request).await.unwrap();
    let inbox = store.mailbox(account, &MailboxName::inbox()).await.unwrap();
    assert_eq!(inbox.messages, 1);
    assert!(store.quarantined().await.unwrap().entries.is_empty());
    assert_eq!(send(&acceptor, 200_000).await, 250);
}
