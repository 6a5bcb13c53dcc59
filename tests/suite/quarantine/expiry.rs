//! What is too old goes, and the oldest when there is too much; a clock of the test's says what is old.

use super::{MESSAGE, Rig};
use crate::support::ALICE;
use std::time::Duration;
use wasmilter::accept::{Expiry, sweep_journals};
use wasmilter::app;
use wasmilter::store::{Quarantine, Store};

const GUARD: [(&str, &str); 1] = [("guard", r#"message = ["quarantine looks odd"]"#)];
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn what_is_too_old_goes_and_the_oldest_when_there_is_too_much() {
    let mut rig = Rig::new(&GUARD, "").await;
    let large = format!("{MESSAGE}{}", "A long story.\r\n".repeat(20_000));
    let transactions: Vec<_> = [MESSAGE, &large, MESSAGE, MESSAGE]
        .map(|message| rig.send(&[ALICE], message))
        .into();
    rig.stop();
    let store = app::open_store(&rig.config).unwrap();
    let entries = store.quarantined().await.unwrap().entries;
    let (newest, oldest) = (entries[0].at, entries[3].at);
    let later = |age: Duration| oldest.checked_add(age).unwrap();

    let roomy = Expiry {
        age: 30 * DAY,
        size: u64::MAX,
    };
    assert_eq!(roomy.sweep(&store, later(30 * DAY)).await.unwrap(), 0);
    // The large one is too much beside another; with the oldest it has to go.
    let narrow = Expiry {
        size: large.len() as u64,
        ..roomy
    };
    assert_eq!(narrow.sweep(&store, newest).await.unwrap(), 2);
    assert_eq!(rig.ids(), [4, 3]);
    let old = newest.checked_add(31 * DAY).unwrap();
    assert_eq!(roomy.sweep(&store, old).await.unwrap(), 2);
    assert!(rig.ids().is_empty());
    drop(store);
    let blobs = rig.home.path().join("data/blobs");
    let files = std::fs::read_dir(blobs)
        .unwrap()
        .flat_map(|shelf| std::fs::read_dir(shelf.unwrap().path()).unwrap());
    assert_eq!(files.count(), 0, "the large one's file goes with it");
    for transaction in &transactions {
        let explained = rig.done(&["explain", transaction]);
        assert!(explained.contains("expired at"), "{explained}");
    }
}

#[tokio::test]
async fn a_server_looks_by_itself() {
    let mut rig = Rig::new(&GUARD, "").await;
    let large = format!("{MESSAGE}{}", "A long story.\r\n".repeat(3_000));
    for _ in 0..3 {
        rig.send(&[ALICE], &large);
    }
    rig.stop();
    let text = std::fs::read_to_string(rig.file()).unwrap();
    let more = "[limits]\nmessage-size = \"64 KiB\"\n[quarantine]\nmax-size = \"64 KiB\"\n";
    std::fs::write(rig.file(), format!("{text}{more}")).unwrap();
    rig.start();
    while rig.ids().len() > 1 {
        std::thread::yield_now();
    }
    assert_eq!(rig.ids(), [3]);
}

#[tokio::test]
async fn journals_go_by_age_and_leave_the_mail() {
    let mut rig = Rig::new(&GUARD, "").await;
    let transaction = rig.send(&[ALICE], MESSAGE);
    rig.stop();
    {
        let store = app::open_store(&rig.config).unwrap();
        let at = store.quarantined().await.unwrap().entries[0].at;
        let after = |age: Duration| at.checked_add(age).unwrap();
        assert_eq!(rig.config.journals, 30 * DAY, "the default");
        let sweep = |days: u32| sweep_journals(&store, 30 * DAY, after(days * DAY));
        assert_eq!(sweep(29).await.unwrap(), 0);
        assert!(store.journal(&transaction).await.unwrap().is_some());
        assert_eq!(sweep(31).await.unwrap(), 1);
        assert!(store.journal(&transaction).await.unwrap().is_none());
    }
    let said = rig.command(&["explain", &transaction]);
    assert!(!said.done, "{}", said.out);
    // What it was about is still there.
    rig.start();
    rig.done(&["quarantine", "release", "1"]);
    assert_eq!(rig.mail(ALICE, "INBOX").len(), 1);
}
