//! Edits of the body as a filter asks for them: what is recorded, what is refused, what the message becomes.

use super::*;
use wasmilter::mail::{BodyEdit, Edit};
use wasmilter::plugin::{Input, run_file};

/// The message as it stands after one run of the script.
async fn rendered(script: &str, message: &str) -> String {
    let rig = Rig::new();
    rig.guest("guest", script);
    let input = Input::from_message(Content::from_bytes(message.to_owned())).unwrap();
    let wasm = rig.path().join("guest/filter.wasm");
    let ran = run_file(&rig.config(), &wasm, input).await.unwrap();
    for (_, outcome) in &ran.calls {
        fine(outcome);
        assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
    }
    let rendered = ran.message.render().unwrap().bytes().unwrap();
    String::from_utf8(rendered.to_vec()).unwrap()
}

#[tokio::test]
async fn parts_are_replaced_and_dropped_and_the_body_is_read_as_received() {
    let script = r#"message = ["replace-part 1 text/html <p>new</p>", "drop-part 2 it was removed", "parts", "text 100"]"#;
    let changed = rendered(script, MESSAGE).await;
    let expected = MESSAGE
        .replace(
            "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6ne Gr=FC=DFe",
            "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n<p>new</p>",
        )
        .replace(
            "Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==",
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\nit was removed",
        );
    assert_eq!(changed, expected);
    let (_rig, host) = scripted(script).await;
    let outcome = at_message(&host).await;
    assert_eq!(
        logged(&outcome),
        ["1 text/plain|2 application/pdf", "Schöne Grüße"]
    );
}

#[tokio::test]
async fn a_simple_message_gets_its_mime_fields_by_edits_of_the_header() {
    let message = "Subject: s\r\nContent-Disposition: attachment\r\nContent-Type: application/zip\r\n\r\nPK\r\n";
    assert_eq!(
        rendered(
            r#"message = ["replace-part 1 text/plain Grüße aus dem Süden\\n", "get Content-Transfer-Encoding"]"#,
            message
        )
        .await,
        "Subject: s\r\nContent-Disposition: attachment\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\n\r\nGr=C3=BC=C3=9Fe aus dem S=C3=BCden\r\n"
    );
    assert_eq!(
        rendered(r#"message = ["drop-part 1 gone"]"#, message).await,
        "Subject: s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\nMIME-Version: 1.0\r\n\r\ngone\r\n"
    );
}

#[tokio::test]
async fn further_calls_append_to_the_new_body() {
    let (_rig, host) = scripted(
        r#"message = ["drop-part 2", "replace one\\r", "replace \\ntwo\\n", "replace-for alice@example.test hers", "replace three", "drop-part 1"]"#,
    )
    .await;
    let outcome = at_message(&host).await;
    fine(&outcome);
    let bodies: Vec<_> = outcome
        .edits
        .iter()
        .filter_map(|scoped| match &scoped.edit {
            Edit::Body(BodyEdit::Replace { with }) => {
                Some((&with.octets[..], with.size, scoped.scope.is_all()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        bodies,
        [
            (&b"one\r\ntwo\r\nthree"[..], 14, true),
            (&b"hers"[..], 4, false)
        ]
    );
    assert_eq!(outcome.refused.len(), 1, "{:?}", outcome.refused);
    assert!(outcome.refused[0].contains("its parts are gone"));
    // The journal has digests, not octets.
    let json = serde_json::to_string(&outcome.edits).unwrap();
    assert!(
        !json.contains("three") && json.contains("\"size\":14"),
        "{json}"
    );
    assert!(
        json.contains(&wasmilter_sha256(b"one\r\ntwo\nthree")),
        "{json}"
    );
}

fn wasmilter_sha256(octets: &[u8]) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(octets);
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    for (step, why) in [
        ("replace-part 3 text/plain x", "no-such-thing"),
        ("replace-part 1.1 text/plain x", "no-such-thing"),
        ("replace-part +x text/plain x", "no-such-thing"),
        ("drop-part 0", "no-such-thing"),
        (
            "replace-part 1 text x",
            "bad-value: the media type \\\"text\\\"",
        ),
        (
            "replace-part 1 multipart/mixed x",
            "bad-value: the media type",
        ),
        (
            "replace-part 1 message/rfc822 x",
            "bad-value: the media type",
        ),
        (
            "replace-part 1 text/plain a\\\\xb",
            "not UTF-8 from octet 1",
        ),
        ("replace a\\\\0b", "bad-value: the body holds a NUL"),
        ("drop-part 1 a\\\\0b", ""),
        (
            "replace-part-for eve@example.test 1 text/plain x",
            "no-such-thing",
        ),
        ("replace-for eve@example.test x", "no-such-thing"),
    ] {
        if why.is_empty() {
            continue;
        }
        let (_rig, host) = scripted(&format!("message = [\"{step}\"]")).await;
        let outcome = at_message(&host).await;
        fine(&outcome);
        assert!(outcome.edits.is_empty(), "{step}: {:?}", outcome.edits);
        let refused = outcome.refused.concat();
        assert!(
            refused.contains(&why.replace('\\', "")),
            "{step}: {refused}"
        );
    }
    let (_rig, host) = scripted(r#"mail = ["replace x", "drop-part 1"]"#).await;
    let outcome = ask(&mut open(&host), Call::Mail).await;
    assert_eq!(outcome.refused.len(), 2, "{:?}", outcome.refused);
    assert!(outcome.refused[0].contains("no body at this hook"));
}

#[tokio::test]
async fn the_edits_of_a_transaction_are_bounded() {
    // Each of these is 30 MiB.
    let rig = Rig::new();
    let script = r#"message = ["replace-long 30720", "replace-long 30720", "replace-long 30720"]"#;
    let manifest =
        format!("[limits]\ncpu-ms = 9000\nwall-ms = 30000\nmemory-mib = 128\n[config]\n{script}");
    rig.plugin("guest", &manifest, GUEST);
    let host = rig.start().await;
    let outcome = at_message(&host).await;
    let refused = outcome.refused.concat();
    assert!(
        refused.contains("too-much") && refused.contains("64 MiB"),
        "{:?} {refused}",
        outcome.result
    );
}
