//! What a filter can see and ask for.

use super::*;
use wasmilter::mail::{Edit, EnhancedCode, HeaderEdit, Scope};

#[tokio::test]
async fn hooks_see_session_envelope_header_and_body() {
    let (_rig, host) = scripted(
        r#"
        message = ["session", "envelope", "get subject", "get TO", "fields", "size", "parts", "text 1000", "raw 0 8", "symbols", "authentication"]
        "#,
    )
    .await;
    let outcome = at_message(&host).await;
    fine(&outcome);
    let expected = [
        "mx.example.test 192.0.2.1 Some(\"client.example\") client.example ESMTP None None 0000000001000000000002".to_owned(),
        "bob@example.org -> alice@example.test carol@example.test".to_owned(),
        "Grüße".to_owned(),
        "alice@example.test|carol@example.test".to_owned(),
        "Received|Subject|To|To|Content-Type".to_owned(),
        MESSAGE.len().to_string(),
        "1 text/plain|2 application/pdf".to_owned(),
        "Schöne Grüße".to_owned(),
        "Ok(Ok(\"Received\"))".to_owned(),
    ];
    let logged = logged(&outcome);
    let transaction = TransactionId::new(1, 2).to_string();
    assert!(logged[0].ends_with(&transaction), "{}", logged[0]);
    assert_eq!(&logged[1..9], &expected[1..]);
    assert!(logged[9].contains("EARLIER") && logged[10].contains("smtp.mailfrom=example.org"));
    assert!(outcome.host_calls > 15 && outcome.memory >= 64 * 1024);
}

#[tokio::test]
async fn before_the_message_there_is_none_to_see() {
    let (_rig, host) =
        scripted(r#"rcpt = ["get Subject", "size", "parts", "raw 0 9", "argument", "add X-A 1"]"#)
            .await;
    let outcome = ask(&mut open(&host), Call::Rcpt(alice())).await;
    fine(&outcome);
    let logged = logged(&outcome);
    assert_eq!(logged[..3], ["", "0", ""]);
    assert!(logged[3].contains("NoSuchThing"), "{}", logged[3]);
    assert_eq!(logged[4], "alice@example.test");
    assert!(outcome.edits.is_empty());
    assert!(
        outcome.refused[1].contains("no header at this hook"),
        "{:?}",
        outcome.refused
    );
}

#[tokio::test]
async fn edits_scores_and_filing_are_recorded_in_order() {
    let (_rig, host) = scripted(
        r#"
        message = ["score CASINO 4.5 a reason", "add X-A one", "change subject Casino", "remove To", "get Subject", "get To", "get X-A",
                   "add-for carol@example.test X-C 1", "get X-C", "file Lists/rust", "flag \\flagged", "symbols"]
        "#,
    )
    .await;
    let outcome = at_message(&host).await;
    fine(&outcome);
    assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
    // It sees its own edits, but for those for one recipient.
    let logged = logged(&outcome);
    assert_eq!(logged[..4], ["Casino", "carol@example.test", "one", ""]);
    assert!(logged[4].contains("EARLIER") && logged[4].contains("CASINO"));
    let symbol = &outcome.symbols[0];
    assert_eq!(
        (symbol.name.as_str(), symbol.score, symbol.by.as_str()),
        ("CASINO", 4.5, "guest")
    );
    let edits: Vec<_> = outcome.edits.iter().map(|scoped| &scoped.edit).collect();
    match &edits[1] {
        Edit::Header(HeaderEdit::Change { was, nth: 1, .. }) => assert_eq!(was, "Grüße"),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        outcome.edits[3].scope,
        Scope::Only(vec![address("carol@example.test")])
    );
    assert_eq!(
        edits[4],
        &Edit::FileInto {
            mailbox: "Lists/rust".to_owned(),
            why: "a test".to_owned()
        }
    );
    assert_eq!(edits[5], &Edit::AddFlag("\\Flagged".to_owned()));
}

#[tokio::test]
async fn at_deliver_all_means_that_recipient() {
    let (_rig, host) = scripted(
        r#"deliver = ["argument", "add X-A 1", "file Junk", "get X-A", "add-for carol@example.test X-C 1"]"#,
    )
    .await;
    let outcome = ask(&mut open(&host), Call::Deliver(alice())).await;
    fine(&outcome);
    assert_eq!(logged(&outcome), ["alice@example.test", "1"]);
    assert_eq!(outcome.edits.len(), 2);
    assert!(
        outcome
            .edits
            .iter()
            .all(|scoped| scoped.scope == Scope::Only(vec![alice()]))
    );
    assert!(
        outcome.refused[0].contains("carol@example.test"),
        "{:?}",
        outcome.refused
    );
}

#[tokio::test]
async fn verdicts_come_back_as_given() {
    for (step, expected) in [
        ("accept", Verdict::Accept),
        ("discard", Verdict::Discard),
        ("quarantine odd", Verdict::Quarantine("odd".to_owned())),
    ] {
        let (_rig, host) = scripted(&format!("message = [\"{step}\"]")).await;
        assert_eq!(at_message(&host).await.result, Ok(expected));
    }
    let (_rig, host) = scripted(r#"connect = ["tempfail 421 4 come back"]"#).await;
    match ask(&mut open(&host), Call::Connect).await.result {
        Ok(Verdict::Tempfail(reply)) => {
            assert_eq!(
                (reply.code, reply.enhanced),
                (421, Some(EnhancedCode(4, 7, 1)))
            );
            assert_eq!(reply.lines[0].as_str(), "come back");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_filter_logs_and_prints_is_kept_within_bounds() {
    let (_rig, host) =
        scripted(r#"message = ["print to standard output", "log two\\nlines", "flood"]"#).await;
    let outcome = at_message(&host).await;
    fine(&outcome);
    let octets: usize = outcome.log.iter().map(|line| line.text.len()).sum();
    assert!(octets < 17 * 1024, "{octets}");
    assert_eq!(outcome.log[0].text, "two lines");
    let last = outcome.log.last().unwrap();
    assert!(last.text.contains("more lines were dropped"), "{last:?}");

    let (_rig, host) = scripted(r#"message = ["print to standard output"]"#).await;
    assert_eq!(logged(&at_message(&host).await), ["to standard output"]);
}
