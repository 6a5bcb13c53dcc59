//! The ways out: on from where the chain stopped, as it came in, through all filters again; and for some recipients only.

use super::{MESSAGE, Rig};
use crate::support::{ALICE, BOB};

/// A filter on each side of the one that stops it.
const AROUND: [(&str, &str); 3] = [
    (
        "first",
        r#"message = ["add X-First 1", "score ODD 2.5 smells"]"#,
    ),
    (
        "guard",
        r#"message = ["add X-Guard 1", "quarantine looks odd"]"#,
    ),
    ("last", r#"message = ["add X-Last 1"]"#),
];

fn fields(message: &str) -> Vec<&str> {
    let names = message.lines().map_while(|line| match line {
        "" => None,
        line => Some(line.split(':').next().unwrap()),
    });
    names.filter(|name| name.starts_with("X-")).collect()
}

#[tokio::test]
async fn it_goes_on_where_it_was_stopped() {
    let rig = Rig::new(&AROUND, "").await;
    let old = rig.send(&[ALICE, BOB], MESSAGE);
    let said = rig.done(&["quarantine", "release", "1"]);
    assert!(said.contains(&format!("<{BOB}>: INBOX (UID 1)")), "{said}");
    for login in [ALICE, BOB] {
        let mail = rig.mail(login, "INBOX");
        assert_eq!(mail.len(), 1);
        assert_eq!(fields(&mail[0]), ["X-First", "X-Guard", "X-Last"]);
        assert!(mail[0].starts_with("Return-Path: <bounce@lottery.example>\r\n"));
        assert!(mail[0].ends_with("\r\n\r\nSend us your purse.\r\n"));
    }
    assert!(rig.ids().is_empty());
    // Either name tells the whole story.
    let new = said.lines().next().unwrap().rsplit_once(' ').unwrap().1;
    let story = rig.done(&["explain", new]);
    assert_eq!(rig.done(&["explain", &old]), story);
    assert!(story.starts_with(&format!("Transaction {old}")), "{story}");
    for expected in [
        format!("released as {new}"),
        format!("\nTransaction {new}"),
        format!("message 1 of the quarantine, set aside as {old}, goes on where it was stopped"),
        // The score of the filters before counts on.
        "Score 2.5, verdict continue".to_owned(),
    ] {
        assert!(story.contains(&expected), "{expected}: {story}");
    }
    let said = rig.command(&["quarantine", "release", "1"]);
    assert!(
        !said.done
            && said
                .error
                .contains("1: not released: there is no message 1"),
        "{}",
        said.error
    );
    assert_eq!(rig.mail(ALICE, "INBOX").len(), 1);
}

#[tokio::test]
async fn the_original_is_what_came_in() {
    let rig = Rig::new(&AROUND, "").await;
    let large = format!("{MESSAGE}{}", "A long story.\r\n".repeat(20_000));
    rig.send(&[ALICE], &large);
    rig.done(&["quarantine", "release", "1", "--original"]);
    let mail = rig.mail(ALICE, "INBOX");
    assert!(mail[0].starts_with("Return-Path:") && mail[0].ends_with(&large));
    assert!(fields(&mail[0]).is_empty());
}

#[tokio::test]
async fn again_asks_the_filters_in_force() {
    let rig = Rig::new(&AROUND, "").await;
    rig.send(&[ALICE], MESSAGE);
    let said = rig.done(&["quarantine", "release", "1", "--again"]);
    assert!(
        said.contains("in quarantine again, as 2: looks odd"),
        "{said}"
    );
    assert_eq!(rig.ids(), [2]);
    assert!(rig.mail(ALICE, "INBOX").is_empty());

    // The rule is mended; what follows is asked as well.
    rig.filter("guard", 1, r#"message = ["add X-Mended 1"]"#);
    rig.reload();
    rig.done(&["quarantine", "release", "2", "--again"]);
    let mail = rig.mail(ALICE, "INBOX");
    assert_eq!(fields(&mail[0]), ["X-First", "X-Mended", "X-Last"]);
    assert!(rig.ids().is_empty());
}

#[tokio::test]
async fn a_filter_further_on_may_stop_it_too() {
    let filters = [
        AROUND[0],
        AROUND[1],
        ("second", r#"message = ["quarantine me too"]"#),
        (
            "third",
            r#"message = ["add X-Third 1"]
            deliver = ["for bob@example.test reject 550 5 never"]"#,
        ),
    ];
    let rig = Rig::new(&filters, "").await;
    rig.send(&[ALICE, BOB], MESSAGE);
    rig.done(&["quarantine", "release", "1"]);
    assert_eq!(rig.ids(), [2]);
    let said = rig.done(&["quarantine", "release", "2"]);
    assert!(said.contains(&format!("<{ALICE}>: INBOX")), "{said}");
    assert!(
        said.contains(&format!("<{BOB}>: not released: 550 5.7.1 never")),
        "{said}"
    );
    // What a filter refuses stays, and what all earlier ones did is kept.
    assert_eq!(
        fields(&rig.mail(ALICE, "INBOX")[0]),
        ["X-First", "X-Guard", "X-Third"]
    );
    assert_eq!(rig.list()[0]["recipients"], serde_json::json!([BOB]));
    let said = rig.command(&["quarantine", "release", "2"]);
    assert!(
        !said.done && said.error.contains("third refuses it: 550 5.7.1 never"),
        "{}",
        said.error
    );
    assert_eq!(rig.ids(), [2]);
    rig.done(&["quarantine", "release", "2", "--original"]);
    assert!(fields(&rig.mail(BOB, "INBOX")[0]).is_empty());
}

#[tokio::test]
async fn one_of_two_recipients_waits() {
    let filters = [
        ("first", r#"deliver = ["add X-First 1"]"#),
        (
            "guard",
            r#"deliver = ["for bob@example.test quarantine not for bob"]"#,
        ),
        ("last", r#"deliver = ["add X-Last 1", "file Odd"]"#),
    ];
    let rig = Rig::new(&filters, "").await;
    rig.send(&[ALICE, BOB], MESSAGE);
    assert_eq!(rig.mail(ALICE, "Odd").len(), 1);
    assert!(rig.mail(BOB, "INBOX").is_empty());
    let entry = &rig.list()[0];
    assert_eq!(entry["recipients"], serde_json::json!([BOB]));
    assert_eq!(entry["hook"], "deliver");
    rig.done(&["quarantine", "release", "1"]);
    assert_eq!(fields(&rig.mail(BOB, "Odd")[0]), ["X-First", "X-Last"]);
    assert_eq!(rig.mail(ALICE, "Odd").len(), 1);
}

#[tokio::test]
async fn a_hold_waits_after_all_filters() {
    let filters = [
        (
            "first",
            r#"message = ["hold-for bob@example.test have a look"]"#,
        ),
        (
            "last",
            r#"message = ["add X-Last 1", "file Seen/here", "flag \\Flagged"]"#,
        ),
    ];
    let rig = Rig::new(&filters, "").await;
    rig.send(&[ALICE, BOB], MESSAGE);
    assert_eq!(rig.mail(ALICE, "Seen/here").len(), 1);
    let listed = rig.done(&["quarantine", "list"]);
    assert!(
        listed.contains("held by first at message, score 0.0: have a look"),
        "{listed}"
    );
    // Nobody is asked any more, not even filters that are new.
    rig.filter(
        "new",
        9,
        r#"message = ["discard"]
        deliver = ["discard"]"#,
    );
    rig.reload();
    rig.done(&["quarantine", "release", "1"]);
    assert_eq!(fields(&rig.mail(BOB, "Seen/here")[0]), ["X-Last"]);
}

#[tokio::test]
async fn it_can_go_to_one_or_to_another() {
    let rig = Rig::new(&AROUND, "").await;
    rig.send(&[ALICE, BOB], MESSAGE);
    rig.done(&["quarantine", "release", "1", "--to", BOB]);
    assert_eq!(rig.mail(BOB, "INBOX").len(), 1);
    assert_eq!(rig.list()[0]["recipients"], serde_json::json!([ALICE]));
    for nobody in ["nobody@example.test", "carol@elsewhere.test"] {
        let said = rig.command(&["quarantine", "release", "1", "--to", nobody]);
        assert!(
            !said.done
                && said
                    .error
                    .contains(&format!("<{nobody}> has no mailbox here")),
            "{}",
            said.error
        );
    }
    // Bob is none of its recipients any more: he gets it in alice's place.
    rig.done(&["quarantine", "release", "1", "--to", BOB]);
    assert_eq!(rig.mail(BOB, "INBOX").len(), 2);
    assert!(rig.mail(ALICE, "INBOX").is_empty());
    assert!(rig.ids().is_empty());
}

#[tokio::test]
async fn filters_further_on_may_add_recipients_and_hear_what_became_of_it() {
    let rig = Rig::new(
        &[
            ("guard", r#"message = ["quarantine looks odd"]"#),
            (
                "last",
                "message = [\"when won add-recipient bob@example.test\", \"add-recipient nobody@example.test\"]\noutcome = [\"argument\"]",
            ),
        ],
        "",
    )
    .await;
    for (id, how) in [
        ("1", None),
        ("2", Some("--again")),
        ("3", Some("--original")),
    ] {
        rig.send(&[ALICE], MESSAGE);
        if how == Some("--again") {
            rig.filter("guard", 0, "");
            rig.reload();
        }
        let arguments: Vec<_> = ["quarantine", "release", id]
            .into_iter()
            .chain(how)
            .collect();
        let said = rig.done(&arguments);
        let added = how != Some("--original");
        assert!(said.contains(&format!("<{ALICE}>: INBOX")), "{said}");
        assert_eq!(said.contains(&format!("<{BOB}>: INBOX")), added, "{said}");
        let new = said.lines().next().unwrap().rsplit_once(' ').unwrap().1;
        // It is told beside the answer to the command.
        let told = "what: What::Delivered";
        let mut story = String::new();
        for _ in 0..500 {
            story = rig.done(&["explain", new]);
            if story.contains(told) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(story.contains(told), "{story}");
        assert_eq!(
            story.contains("there is no such mailbox here"),
            added,
            "{story}"
        );
        if how == Some("--again") {
            rig.filter("guard", 0, r#"message = ["quarantine looks odd"]"#);
            rig.reload();
        }
    }
    assert!(rig.ids().is_empty());
}
