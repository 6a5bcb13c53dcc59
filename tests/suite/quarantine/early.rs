//! What filters say of a message before it is there: at `connect`, `helo` and `mail` of all that comes, at `rcpt` for one recipient.

use super::{MESSAGE, Rig};
use crate::support::{ALICE, BOB};

#[tokio::test]
async fn what_is_said_before_the_message_counts_when_it_is_there() {
    for hook in ["connect", "helo", "mail"] {
        let guard = format!(
            "{hook} = [\"score EARLY 1.5 it knocked oddly\", \"quarantine no manners\"]\nmessage = [\"add X-Guard 1\"]"
        );
        let rig = Rig::new(
            &[("guard", &guard), ("last", r#"message = ["add X-Last 1"]"#)],
            "",
        )
        .await;
        let transaction = rig.send(&[ALICE, BOB], MESSAGE);
        assert!(rig.mail(ALICE, "INBOX").is_empty(), "{hook}");
        let entry = &rig.list()[0];
        assert_eq!(
            (entry["filter"].as_str(), entry["hook"].as_str()),
            (Some("guard"), Some(hook))
        );
        // Those before the message are in the journal, and nobody was asked at `message`.
        let explained = rig.done(&["explain", &transaction]);
        assert!(
            explained.contains("EARLY") && explained.contains("Score 1.5, verdict quarantine"),
            "{explained}"
        );
        // Then all are, and what was said of the connection counts on.
        rig.done(&["quarantine", "release", "1"]);
        let mail = rig.mail(ALICE, "INBOX");
        assert!(
            mail[0].contains("X-Guard: 1\r\n") && mail[0].contains("X-Last: 1\r\n"),
            "{hook}: {mail:?}"
        );
        let explained = rig.done(&["explain", &transaction]);
        assert!(
            explained.contains("Score 1.5, verdict continue"),
            "{explained}"
        );
    }
}

#[tokio::test]
async fn what_is_discarded_early_is_taken_and_dropped() {
    let rig = Rig::new(&[("guard", r#"mail = ["discard"]"#)], "").await;
    let transaction = rig.send(&[ALICE], MESSAGE);
    assert!(rig.mail(ALICE, "INBOX").is_empty() && rig.ids().is_empty());
    let explained = rig.done(&["explain", &transaction]);
    assert!(explained.contains("verdict discard"), "{explained}");
}

#[tokio::test]
async fn at_rcpt_it_is_for_that_recipient() {
    for (verdict, aside) in [("quarantine not for her", 1), ("discard", 0)] {
        let guard = format!("rcpt = [\"for {ALICE} {verdict}\"]");
        let rig = Rig::new(&[("guard", &guard)], "").await;
        let transaction = rig.send(&[ALICE, BOB], MESSAGE);
        assert!(rig.mail(ALICE, "INBOX").is_empty(), "{verdict}");
        assert_eq!(rig.mail(BOB, "INBOX").len(), 1, "{verdict}");
        assert_eq!(rig.ids().len(), aside);
        let explained = rig.done(&["explain", &transaction]);
        if aside == 1 {
            assert_eq!(rig.list()[0]["hook"], "rcpt");
            rig.done(&["quarantine", "release", "1"]);
            assert_eq!(rig.mail(ALICE, "INBOX").len(), 1);
        } else {
            assert!(
                explained.contains("a filter discarded it at rcpt"),
                "{explained}"
            );
        }
    }
}
