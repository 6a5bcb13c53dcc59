//! One plugin on one message, without a server.

use super::*;
use wasmilter::kit::{Play, play};
use wasmilter::plugin::{Input, RunError, load_path};

async fn calls(script: &str) -> (Vec<(String, Result<Verdict, String>)>, String) {
    let rig = Rig::new();
    rig.guest("guest", script);
    let input = Input::from_message(Content::from_bytes(MESSAGE)).unwrap();
    let wasm = rig.path().join("guest/filter.wasm");
    let plugin = load_path(&rig.config(), &wasm).await.unwrap();
    assert_eq!(plugin.plugin.path, Some(wasm));
    let done = play(&[plugin.filter], Play::from(input)).await.unwrap();
    let calls = done.turns().map(|turn| {
        let recipient = turn
            .recipient
            .as_ref()
            .map(|recipient| format!(" {recipient}"));
        let name = format!("{}{}", turn.hook, recipient.unwrap_or_default());
        let result = turn.result.clone();
        (name, result.map_err(|failure| failure.to_string()))
    });
    let calls = calls.collect();
    let rendered = done.draft.message().render().unwrap().bytes().unwrap();
    (calls, String::from_utf8(rendered.to_vec()).unwrap())
}

#[tokio::test]
async fn every_hook_is_asked_in_the_order_of_a_transaction() {
    let (calls, rendered) = calls(r#"message = ["add X-A 1", "remove Received"]"#).await;
    let names: Vec<_> = calls.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "connect",
            "helo",
            "mail",
            "rcpt alice@example.test",
            "rcpt carol@example.test",
            "message",
            "deliver alice@example.test",
            "deliver carol@example.test",
        ]
    );
    assert!(
        calls
            .iter()
            .all(|(_, result)| *result == Ok(Verdict::Continue))
    );
    assert!(rendered.starts_with("Subject:") && rendered.contains("\r\nX-A: 1\r\n\r\n--b"));
}

#[tokio::test]
async fn a_verdict_or_a_failure_ends_it() {
    let (rejected, _) = calls(r#"message = ["reject 550 5 no"]"#).await;
    assert_eq!(rejected.last().unwrap().0, "message");
    let (failed, _) = calls(r#"mail = ["panic now"]"#).await;
    assert_eq!(failed.len(), 3);
    assert!(failed[2].1.as_ref().unwrap_err().contains("now"));
}

#[tokio::test]
async fn what_does_not_load_is_named() {
    let rig = Rig::new();
    rig.plugin("a", "colour = 1", GUEST);
    rig.plugin("b", "", b"garbage");
    for (name, expected) in [
        (
            "a/filter.wasm",
            "a/plugin.toml: line 1, column 1: unknown field `colour`",
        ),
        ("b/filter.wasm", "it is not WASM"),
        ("c/filter.wasm", "No such file"),
    ] {
        let error: RunError = load_path(&rig.config(), &rig.path().join(name))
            .await
            .err()
            .unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
