//! Calls that the host refuses: the filter goes on, the journal has the reason, and nothing of it takes effect.

use super::*;

#[tokio::test]
async fn values_that_could_do_harm_are_refused() {
    let table = [
        ("add Bad:Name x", "header-edit.add: bad-value"),
        (
            "add X-A line\\nBcc: eve@example.net",
            "header-edit.add: bad-value: the value: it holds a carriage return",
        ),
        (
            "change X-None x",
            "header-edit.change: no-such-thing: the header has no field X-None number 1",
        ),
        ("remove X-None", "header-edit.remove: no-such-thing"),
        ("insert Bad Name", "header-edit.insert: bad-value"),
        (
            "add-for eve@example.net X-A 1",
            "\"eve@example.net\" is not a recipient",
        ),
        ("add-for nonsense X-A 1", "\"nonsense\" is not a recipient"),
        ("file a//b", "filing.file-into: bad-value"),
        ("file ../../etc*", "filing.file-into: bad-value"),
        ("flag \\Recent", "filing.add-flag: bad-value"),
        ("flag two words", "filing.add-flag: bad-value"),
        (
            "score casino 1 a",
            "score.add: bad-value: the symbol's name \"casino\"",
        ),
        ("score CASINO NaN a", "score.add: bad-value"),
        ("score CASINO 1e9 a", "score.add: bad-value"),
    ];
    // A literal string of TOML leaves backslashes alone.
    let steps: Vec<_> = table.iter().map(|(step, _)| format!("'{step}'")).collect();
    let (_rig, host) = scripted(&format!("message = [{}]", steps.join(", "))).await;
    let outcome = at_message(&host).await;
    fine(&outcome);
    assert!(
        outcome.edits.is_empty() && outcome.symbols.is_empty(),
        "{outcome:?}"
    );
    assert_eq!(outcome.refused.len(), table.len(), "{:?}", outcome.refused);
    for ((step, expected), refused) in table.iter().zip(&outcome.refused) {
        assert!(refused.contains(expected), "{step}: {refused}");
    }
}

#[tokio::test]
async fn edits_are_capped() {
    let (_rig, host) = scripted(r#"message = ["add-many 1200"]"#).await;
    let outcome = at_message(&host).await;
    fine(&outcome);
    assert_eq!(outcome.edits.len(), 1000);
    assert!(
        outcome.refused[0].contains("too-much"),
        "{:?}",
        outcome.refused[0]
    );
    assert_eq!(outcome.refused.len(), 101);
}

#[tokio::test]
async fn there_is_nothing_to_file_at_connect() {
    let (_rig, host) = scripted(r#"connect = ["file Junk", "add X-A 1"]"#).await;
    let outcome = ask(&mut open(&host), Call::Connect).await;
    fine(&outcome);
    assert!(outcome.edits.is_empty());
    assert!(
        outcome
            .refused
            .iter()
            .all(|refused| refused.contains("no-such-thing")),
        "{:?}",
        outcome.refused
    );
}
