//! A row of the quarantine that cannot be read costs its own message, and nobody else's.

use super::{MESSAGE, Rig};
use crate::support::ALICE;
use rusqlite::Connection;
use std::time::Duration;
use wasmilter::accept::Expiry;
use wasmilter::app;

#[tokio::test]
async fn what_cannot_be_read_is_named_and_deleted_and_expires() {
    let guard = [("guard", r#"message = ["quarantine looks odd"]"#)];
    let mut rig = Rig::new(&guard, "").await;
    let transactions: Vec<_> = (0..4).map(|_| rig.send(&[ALICE], MESSAGE)).collect();
    let index = Connection::open(rig.home.path().join("data/index.sqlite")).unwrap();
    let damage = |id: u32, what: &str| {
        let row = format!("UPDATE quarantine SET entry = {what} WHERE id = {id}");
        assert_eq!(index.execute(&row, []).unwrap(), 1);
    };
    damage(2, "'{\"id\":'");
    damage(3, "CAST(x'ff00fe' AS TEXT)");
    let journal = "UPDATE journal SET dispositions = 'x' WHERE transaction_id = ?1";
    assert_eq!(index.execute(journal, [&transactions[0]]).unwrap(), 1);

    let said = rig.command(&["quarantine", "list"]);
    assert!(said.done && said.out.contains("2 messages"), "{}", said.out);
    for id in [2, 3] {
        let named = format!("{id}: cannot be read; `wasmilter quarantine delete {id}`");
        assert!(said.error.contains(&named), "{}", said.error);
    }
    assert_eq!(rig.ids(), [4, 1]);
    assert_eq!(
        rig.done(&["quarantine", "delete", "2", "1"]),
        "2: deleted\n1: deleted\n"
    );
    let said = rig.command(&["quarantine", "delete", "2"]);
    assert!(!said.done, "{}", said.out);
    rig.stop();
    let store = app::open_store(&rig.config).unwrap();
    let expiry = Expiry {
        age: Duration::from_secs(86_400),
        size: u64::MAX,
    };
    let old = "2999-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(expiry.sweep(&store, old).await.unwrap(), 2);
    assert!(rig.done(&["quarantine", "list"]).contains("nothing"));
    let explained = rig.done(&["explain", &transactions[3]]);
    assert!(explained.contains("expired at"), "{explained}");
}
