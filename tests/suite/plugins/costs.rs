//! What a filter's edits cost the host, whatever the filter and the message: bounded, and a bound that a sender reaches is nobody else's loss.

use super::*;
use wasmilter::mail::{Edit, HeaderEdit, Scope};

/// With as much time as a build without optimization needs.
async fn made_of(message: &str, step: &str) -> Outcome {
    let rig = Rig::new();
    let manifest =
        format!("[limits]\ncpu-ms = 10000\nwall-ms = 60000\n[config]\nmessage = [{step}]");
    rig.plugin("guest", &manifest, GUEST);
    let host = rig.start().await;
    let message = Message::new(Content::from_bytes(message.to_owned())).unwrap();
    let view = View {
        message: Some(message),
        ..view(Hook::Message)
    };
    let outcome = open(&host).call(&Call::Message, view).await;
    fine(&outcome);
    outcome
}

/// Octets of the edits in the journal.
fn journalled(outcome: &Outcome) -> usize {
    serde_json::to_string(&outcome.edits).unwrap().len()
}

#[tokio::test]
async fn an_edit_is_for_no_more_recipients_than_there_are() {
    let outcome = made_of(
        MESSAGE,
        r#""add-for-all-of 1001 alice@example.test", "add-for-all-of 2 alice@example.test""#,
    )
    .await;
    assert_eq!(outcome.refused.len(), 1, "{:?}", outcome.refused);
    assert!(
        outcome.refused[0].contains("too-much: an edit for 1001 recipients: the transaction has 2"),
        "{:?}",
        outcome.refused
    );
    // Named twice, it is there once.
    assert_eq!(outcome.edits.len(), 1);
    assert_eq!(outcome.edits[0].scope, Scope::Only(vec![alice()]));
}

#[tokio::test]
async fn what_edits_take_away_is_bounded_too() {
    let message = format!(
        "X-Big: {}\r\nSubject: s\r\n\r\nbody\r\n",
        "long ".repeat(80_000)
    );
    for step in [
        r#""times 1000 remove-for alice@example.test X-Big""#,
        r#""times 1000 change-for alice@example.test X-Big""#,
    ] {
        let outcome = made_of(&message, step).await;
        assert_eq!(outcome.edits.len(), 2, "{step}");
        assert!(outcome.refused[0].contains("too-much"), "{step}");
        assert!(journalled(&outcome) <= 1024 * 1024, "{step}");
    }
}

#[tokio::test]
async fn fields_to_remove_take_no_other_edits_room() {
    let message = format!("{}Subject: s\r\n\r\nbody\r\n", "X-A: 1\r\n".repeat(1200));
    let steps = r#""times 1200 remove X-A", "add-many 1000""#;
    let outcome = made_of(&message, steps).await;
    assert_eq!(outcome.refused, Vec::<String>::new());
    let removed = |edit: &Edit| matches!(edit, Edit::Header(HeaderEdit::Remove { .. }));
    let all = outcome.edits.iter();
    assert_eq!(all.filter(|scoped| removed(&scoped.edit)).count(), 1200);
}

#[tokio::test]
async fn empty_lines_are_lines() {
    let outcome = made_of(MESSAGE, r#""times 100000 log ""#).await;
    assert_eq!(outcome.log.len(), 201);
    let last = &outcome.log[200].text;
    assert!(last.starts_with("99800 more lines were dropped"), "{last}");
}
