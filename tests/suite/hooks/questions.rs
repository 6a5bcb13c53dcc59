//! What is asked in Stalwart's form, and what is answered.

use super::stalwart::{changed, question};
use super::*;
use crate::milter::addresses::ODD;
use serde_json::json;

const ALICE: &[&str] = &["alice@example.test"];

#[tokio::test]
async fn what_no_filter_touches_stays_and_can_be_explained() {
    let server = scripted(r#"message = ["session", "envelope"]"#).await;
    let mut asked = question("data", "25c8f1a7b1", ALICE, MESSAGE);
    asked["context"]["sasl"] = json!({"login": "carol", "method": null});
    asked["context"]["tls"] = json!({"version": "TLSv1.3", "cipher": "TLS13_AES_256_GCM_SHA384"});
    asked["envelope"]["from"]["parameters"] = json!({"RET": "HDRS", "ENVID": "QQ7"});
    asked["envelope"]["to"][0]["parameters"] = json!({"NOTIFY": "never"});
    let said = answer(&server, &asked).await;
    assert_eq!(said, json!({"action": "accept", "modifications": []}));
    let journal = journal(&server, "25c8f1a7b1").await;
    let transaction = journal.id.as_str();
    assert_eq!(
        logged(&journal),
        [
            &format!(
                // The name of the client was not checked, and that of the server is a program's.
                "mx.example.test 192.0.2.7 None client.test ESMTPSA Some(\"TLSv1.3 TLS13_AES_256_GCM_SHA384\") Some(\"carol\") {transaction}"
            )[..],
            "a@client.test -> alice@example.test NEVER",
        ]
    );
    assert_eq!(journal.subject.as_deref(), Some("hello"));
    assert_eq!(journal.size, MESSAGE.len() as u64);
    assert_eq!(journal.envelope.envid.as_deref(), Some("QQ7"));
}

#[tokio::test]
async fn each_stage_asks_its_hook_and_those_before_it() {
    let server = scripted(
        r#"
        connect = ["tag greeted yes"]
        helo = ["for spam.test reject 550 5 no such name"]
        rcpt = ["for bob@example.test reject 550 5 not bob", "for later@example.test tempfail 451 4 not now"]
        message = ["tags"]
        "#,
    )
    .await;
    for stage in ["connect", "ehlo", "auth", "mail", "rcpt"] {
        let said = answer(&server, &question(stage, "", ALICE, "")).await;
        assert_eq!(said, json!({"action": "accept"}), "{stage}");
        // The documentation writes them so.
        let mut asked = question(stage, "", ALICE, "");
        asked["context"]["stage"] = json!(stage.to_uppercase());
        assert_eq!(answer(&server, &asked).await["action"], "accept");
    }
    for stage in ["ehlo", "mail", "data"] {
        let mut asked = question(stage, "Q0", ALICE, MESSAGE);
        asked["context"]["client"]["helo"] = json!("spam.test");
        let said = answer(&server, &asked).await;
        assert_eq!(said["action"], "reject", "{stage}");
        assert_eq!(said["response"]["message"], "no such name");
    }
    // Of several recipients the last one is new.
    let both = ["bob@example.test", "alice@example.test"];
    let said = answer(&server, &question("rcpt", "", &both, "")).await;
    assert_eq!(said["action"], "accept");
    let both = ["alice@example.test", "bob@example.test"];
    let said = answer(&server, &question("rcpt", "", &both, "")).await;
    let response = &said["response"];
    assert_eq!(
        (&said["action"], &response["status"]),
        (&json!("reject"), &json!(550))
    );
    assert_eq!(response["enhancedStatus"], "5.7.1");
    assert_eq!(response["enhanced_status"], "5.7.1");
    assert_eq!(response["disconnect"], false);
    // What was tagged at connect is known at the message.
    answer(&server, &question("data", "Q1", ALICE, MESSAGE)).await;
    assert_eq!(logged(&journal(&server, "Q1").await), ["greeted=yes"]);
    // Where only the message is asked about, one that is refused goes away, and one to come again for brings all back.
    let said = answer(&server, &question("data", "Q2", &both, MESSAGE)).await;
    let removed = json!([{"type": "deleteRecipient", "value": "bob@example.test"}]);
    assert_eq!(said, json!({"action": "accept", "modifications": removed}));
    let own = journal(&server, "Q2").await;
    let refused: Vec<_> = own.turns.iter().flat_map(|turn| &turn.refused).collect();
    assert!(refused[0].contains("bob@example.test"), "{refused:?}");
    let said = answer(
        &server,
        &question("data", "Q3", &["bob@example.test"], MESSAGE),
    )
    .await;
    assert_eq!(said["response"]["status"], 550);
    let later = ["alice@example.test", "later@example.test"];
    let said = answer(&server, &question("data", "Q4", &later, MESSAGE)).await;
    assert_eq!(said["response"]["status"], 451);
    assert_eq!(said["action"], "reject");
}

#[tokio::test]
async fn verdicts_have_their_actions() {
    let server = scripted(
        r#"message = [
            "when refuse reject 554 5 no way",
            "when later tempfail 450 4 later",
            "when lost discard",
            "when aside quarantine looks odd",
            "when spam score SPAM 20 of course",
            "when junk score JUNK 6 likely",
        ]"#,
    )
    .await;
    let with_subject = |word: &str| MESSAGE.replace("hello", word);
    for (word, action, status) in [
        ("refuse", "reject", json!(554)),
        ("later", "reject", json!(450)),
        ("lost", "discard", Value::Null),
        ("aside", "quarantine", Value::Null),
        ("spam", "reject", json!(550)),
        ("junk", "accept", Value::Null),
        ("nothing", "accept", Value::Null),
    ] {
        let message = with_subject(word);
        let said = answer(&server, &question("data", word, ALICE, &message)).await;
        assert_eq!(
            (&said["action"], &said["response"]["status"]),
            (&json!(action), &status),
            "{word}"
        );
        let flag = changed(&message, &said).contains("X-Spam-Flag: YES");
        assert_eq!(flag, word == "junk");
        let verdict = journal(&server, word).await.verdict;
        match (word, verdict.name()) {
            ("refuse" | "spam", "reject")
            | ("later", "tempfail")
            | ("lost", "discard")
            | ("aside", "quarantine")
            | ("junk" | "nothing", "continue") => {}
            (_, other) => panic!("{word}: {other}"),
        }
    }
}

#[tokio::test]
async fn every_change_is_asked_for_once() {
    let server = scripted(
        r#"message = [
            "change Subject first", "change Subject good bye", "remove X-Old", "insert X-Top", "add X-End at the end",
            "sender b@other.test RET=FULL ENVID=E1", "add-recipient carol@example.test NOTIFY=NEVER", "remove-recipient bob@example.test",
            "replace new body\\n",
        ]"#,
    )
    .await;
    let message = MESSAGE.replace("Subject", "X-Old: 1\r\nX-Old: 2\r\nSubject");
    let both = ["alice@example.test", "bob@example.test"];
    let said = answer(&server, &question("data", "Q", &both, &message)).await;
    assert_eq!(
        changed(&message, &said).replace("\r\n", "\n"),
        "X-Top: inserted\nX-End: at the end\nFrom: a@client.test\nTo: alice@example.test\nX-Old: 2\nSubject: good bye\n\nnew body\n"
    );
    let kinds: Vec<_> = said["modifications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["type"].as_str().unwrap())
        .collect();
    let mut sorted = kinds.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            "addRecipient",
            "changeFrom",
            "changeHeader",
            "deleteHeader",
            "deleteRecipient",
            "insertHeader",
            "insertHeader",
            "replaceContents",
        ]
    );
    let find = |kind: &str| {
        let list = said["modifications"].as_array().unwrap();
        list.iter().find(|change| change["type"] == kind).unwrap()
    };
    assert_eq!(
        *find("changeFrom"),
        json!({"type": "changeFrom", "value": "b@other.test", "parameters": {"RET": "FULL", "ENVID": "E1"}})
    );
    assert_eq!(
        *find("addRecipient"),
        json!({"type": "addRecipient", "value": "carol@example.test", "parameters": {"NOTIFY": "NEVER"}})
    );
    assert_eq!(find("deleteRecipient")["value"], "bob@example.test");
    // The place of the field at the end was lost, and the journal says so.
    let journal = journal(&server, "Q").await;
    let refused: Vec<_> = journal
        .turns
        .iter()
        .flat_map(|turn| &turn.refused)
        .collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
}

#[tokio::test]
async fn bodies_that_cannot_be_written_or_are_empty() {
    let server =
        scripted(r#"message = ["when octets replace \\x\\x", "when nothing replace "]"#).await;
    let message = MESSAGE.replace("hello", "octets");
    let said = answer(&server, &question("data", "Q1", ALICE, &message)).await;
    assert_eq!(changed(&message, &said), message);
    let journal = journal(&server, "Q1").await;
    let refused: Vec<_> = journal
        .turns
        .iter()
        .flat_map(|turn| &turn.refused)
        .collect();
    assert!(
        refused.iter().any(|why| why.contains("UTF-8")),
        "{refused:?}"
    );
    let message = MESSAGE.replace("hello", "nothing");
    let said = answer(&server, &question("data", "Q2", ALICE, &message)).await;
    assert!(changed(&message, &said).ends_with("\r\n\r\n\r\n"), "{said}");
}

#[tokio::test]
async fn bounces_and_addresses_that_are_none() {
    let server = scripted(r#"message = ["envelope"]"#).await;
    let mut asked = question("data", "Q1", ALICE, MESSAGE);
    asked["envelope"]["from"]["address"] = json!("");
    assert_eq!(answer(&server, &asked).await["action"], "accept");
    assert_eq!(
        logged(&journal(&server, "Q1").await),
        [" -> alice@example.test"]
    );
    for (place, code) in [("from", "5.1.7"), ("to", "5.1.3")] {
        let mut asked = question("data", "Q2", ALICE, MESSAGE);
        let wrong = json!({"address": "a@b c.test"});
        asked["envelope"][place] = if place == "to" { json!([wrong]) } else { wrong };
        let said = answer(&server, &asked).await;
        assert_eq!(said["response"]["status"], 553, "{said}");
        assert_eq!(said["response"]["enhancedStatus"], code);
    }
}

#[tokio::test]
async fn what_the_mail_server_takes_is_taken() {
    let server =
        scripted("message = [\"envelope\", \"remove-recipient alice@example.test\"]").await;
    for (number, (given, read)) in ODD.iter().enumerate() {
        let id = format!("Q{number}");
        let mut asked = question("data", &id, &[given, "bob@example.test"], MESSAGE);
        asked["envelope"]["from"]["address"] = json!(given);
        assert_eq!(answer(&server, &asked).await["action"], "accept", "{given}");
        assert_eq!(
            logged(&journal(&server, &id).await),
            [format!("{read} -> {read} bob@example.test")]
        );
        for stage in ["mail", "rcpt"] {
            asked["context"]["stage"] = json!(stage);
            assert_eq!(answer(&server, &asked).await["action"], "accept", "{given}");
        }
    }
    // One that cannot be read is no reason to refuse the others.
    let to = ["bob@b c.test", "alice@example.test", "carol@example.test"];
    let said = answer(&server, &question("data", "Q9", &to, MESSAGE)).await;
    let removed = json!([{"type": "deleteRecipient", "value": "alice@example.test"}]);
    assert_eq!(said, json!({"action": "accept", "modifications": removed}));
    let own = journal(&server, "Q9").await;
    assert_eq!(own.envelope.recipients.len(), 2);
    let mut refused = own.turns.iter().flat_map(|turn| &turn.refused);
    assert!(refused.any(|why| why.contains("bob@b c.test")));
    assert_eq!(
        answer(&server, &question("rcpt", "", &to, "")).await["action"],
        "accept"
    );
    let last = ["alice@example.test", "bob@b c.test"];
    let said = answer(&server, &question("rcpt", "", &last, "")).await;
    assert_eq!(said["response"]["status"], 553);
}

#[tokio::test]
async fn there_may_be_more_than_a_client_of_smtp_may_name() {
    let server = scripted("message = [\"log seen\"]").await;
    let many: Vec<_> = (0..=1000).map(|n| format!("u{n}@example.test")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let said = answer(&server, &question("data", "Q1", &many, MESSAGE)).await;
    assert_eq!(said["action"], "accept", "{said}");
    let own = journal(&server, "Q1").await;
    assert_eq!(own.envelope.recipients.len(), 1001);
}
