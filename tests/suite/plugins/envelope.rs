//! Tags and edits of the envelope as the host checks them, and instances that are given up when places are few.

use super::*;
use wasmilter::mail::{Became, Edit, EnvelopeEdit, What};

fn kinds(outcome: &Outcome) -> Vec<&str> {
    let refused = outcome.refused.iter();
    refused.map(|why| why.split(": ").nth(1).unwrap()).collect()
}

#[tokio::test]
async fn edits_of_the_envelope_are_checked_and_seen_by_later_hooks_only() {
    let (_rig, host) = scripted(
        r#"
        connect = ["add-recipient dora@example.test", "sender <>"]
        message = [
            "add-recipient dora@example.test NOTIFY=SUCCESS,DELAY",
            "add-recipient dora@example.test NOTIFY=SOMETIMES",
            "add-recipient dora@example.test SIZE=4",
            "add-recipient nobody",
            "add-recipient грета@почта.example",
            "sender <> RET=FULL",
            "sender x@example.org RET=SOME",
            "sender x@example.org\u0000",
            "remove-recipient carol@example.test",
            "remove-recipient dora@example.test",
            "envelope",
        ]
        deliver = ["remove-recipient carol@example.test"]
        "#,
    )
    .await;
    let mut run = open(&host);
    let refused = ask(&mut run, Call::Connect).await;
    assert_eq!(kinds(&refused), ["no-such-thing"; 2]);
    let outcome = ask(&mut run, Call::Message).await;
    fine(&outcome);
    assert_eq!(
        kinds(&outcome),
        [
            "bad-value",
            "bad-value",
            "bad-value",
            "bad-value",
            "bad-value",
            "bad-value",
            "bad-value",
            "no-such-thing"
        ],
        "{:?}",
        outcome.refused
    );
    assert_eq!(
        logged(&outcome),
        ["bob@example.org -> alice@example.test carol@example.test"]
    );
    let edits: Vec<_> = outcome.edits.iter().map(|scoped| &scoped.edit).collect();
    assert!(
        matches!(
            edits[..],
            [
                Edit::Envelope(EnvelopeEdit::AddRecipient { .. }),
                Edit::Envelope(EnvelopeEdit::RemoveRecipient { .. })
            ]
        ),
        "{edits:?}"
    );
    let refused = ask(&mut run, Call::Deliver(alice())).await;
    assert_eq!(kinds(&refused), ["no-such-thing"]);
}

#[tokio::test]
async fn tags_are_bounded_and_seen_at_once() {
    let (_rig, host) = scripted(
        r#"
        mail = ["tag a.b one", "tag a.b two", "tagged a.b", "tag a/b x", "tag a.c x\\ny"]
        message = ["tag-many 101", "tag many.0 again"]
        "#,
    )
    .await;
    let outcome = ask(&mut open(&host), Call::Mail).await;
    assert_eq!(logged(&outcome), ["Some(\"two\")"]);
    assert_eq!(kinds(&outcome), ["bad-value"; 2]);
    let outcome = at_message(&host).await;
    assert_eq!(kinds(&outcome), ["too-much"]);
    assert_eq!(outcome.edits.len(), 101);
}

#[tokio::test]
async fn nothing_can_be_asked_for_where_nobody_waits() {
    let (_rig, host) = scripted(
        r#"outcome = ["argument", "tag a 1", "score X 1 x", "file Junk", "add X-A 1", "sender <>"]"#,
    )
    .await;
    let became = Became {
        recipient: alice(),
        what: What::Bounced,
        place: "smtp:mx.example.org:25".to_owned(),
        detail: "550 no".to_owned(),
    };
    let outcome = ask(&mut open(&host), Call::Outcome(became)).await;
    fine(&outcome);
    assert!(logged(&outcome)[0].contains("Bounced"), "{outcome:?}");
    assert_eq!(kinds(&outcome), ["no-such-thing"; 5]);
    assert!(outcome.edits.is_empty() && outcome.symbols.is_empty());
}

/// Clients that say MAIL and then nothing.
#[tokio::test]
async fn idle_transactions_do_not_use_the_pool_up() {
    let rig = Rig::new();
    rig.guest(
        "guest",
        r#"mail = ["remember mail"]
        message = ["recall"]"#,
    );
    let host = Host::start(Config {
        instances: 4,
        ..rig.config()
    })
    .await
    .unwrap();
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut run = open(&host);
        fine(&ask(&mut run, Call::Mail).await);
        idle.push(run);
    }
    let mut remembering = 0;
    for run in &mut idle {
        let outcome = ask(run, Call::Message).await;
        fine(&outcome);
        remembering += usize::from(logged(&outcome) == ["mail"]);
    }
    // Half of the places are for those that are at work.
    assert_eq!(remembering, 2);
}

#[tokio::test]
async fn what_a_filter_may_use_is_for_the_transaction_whichever_instance_serves_it() {
    let rig = Rig::new();
    rig.guest(
        "guest",
        r#"mail = ["flood"]
        message = ["log one more"]"#,
    );
    let host = Host::start(Config {
        instances: 1,
        ..rig.config()
    })
    .await
    .unwrap();
    let mut run = open(&host);
    fine(&ask(&mut run, Call::Mail).await);
    let outcome = ask(&mut run, Call::Message).await;
    let logged = logged(&outcome);
    assert!(
        logged[0].starts_with("1 more lines were dropped"),
        "{logged:?}"
    );
}
