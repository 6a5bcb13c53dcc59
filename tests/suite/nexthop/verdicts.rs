//! What filters and the next hop say, and what becomes of the message by it.

use super::*;
use crate::support::process;
use std::sync::Arc;
use tokio::sync::Notify;

fn nothing_taken(hop: &Hop) {
    assert!(hop.seen().messages.is_empty(), "{:?}", hop.seen().lines);
}

#[tokio::test]
async fn the_replies_of_the_next_hop_go_back_as_they_were() {
    let hop = Hop::start(&[
        ("MAIL", Say::Text("550-5.7.1 not\r\n550 5.7.1 you\r\n")),
        ("RCPT TO:<nobody", Say::Text("550-no code\r\n550 here\r\n")),
        ("RCPT TO:<later", Say::Text("452 4.2.2 full\r\n")),
        (".", Say::Text("250-2.6.0 queued\r\n250 2.6.0 as 17\r\n")),
    ])
    .await;
    let relay = Relay::start("smtp", hop.address, "", "").await;
    let mut client = relay.client().await;
    let mail = "MAIL FROM:<a@client.test>";
    assert_eq!(client.say(mail).await, "550-5.7.1 not\n550 5.7.1 you");
    client
        .dialogue(&[
            (mail, "250 2.1.0"),
            ("RCPT TO:<x@elsewhere.test>", "250 2.1.5"),
        ])
        .await;
    let reply = client.say("RCPT TO:<nobody@elsewhere.test>").await;
    assert_eq!(reply, "550-no code\n550 here");
    assert_eq!(
        client.say("RCPT TO:<later@elsewhere.test>").await,
        "452 4.2.2 full"
    );
    client.dialogue(&[("DATA", "354")]).await;
    client.write(stuffed(MESSAGE).as_bytes()).await;
    assert_eq!(client.reply().await, "250-2.6.0 queued\n250 2.6.0 as 17");
    let (message, id) = untraced(&hop.message());
    assert_eq!(message, MESSAGE);
    let journal = relay.journal(&id).await;
    let [place] = &journal.dispositions[..] else {
        panic!()
    };
    let Disposition::Relayed { next_hop, reply } = &place.disposition else {
        panic!("{place:?}")
    };
    assert_eq!(
        (&next_hop[..], &reply[..]),
        ("next", "250 2.6.0 queued as 17")
    );
    let explained = process::run(&["explain", &id, "--config", &relay.config_file()], "");
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(
        explained.contains("handed to next, which said 250 2.6.0"),
        "{explained}"
    );
}

#[tokio::test]
async fn a_refusal_of_the_message_is_passed_on_and_421_ends_no_session_of_ours() {
    for (said, heard) in [
        (
            "554-5.6.0 bad\r\n554 5.6.0 message\r\n",
            "554-5.6.0 bad\n554 5.6.0 message",
        ),
        ("452 4.3.1 full\r\n", "452 4.3.1 full"),
        ("421 4.3.2 going down\r\n", "451 4.3.2 going down"),
    ] {
        let hop = Hop::start(&[(".", Say::Text(said))]).await;
        let relay = Relay::start("smtp", hop.address, "", "").await;
        assert_eq!(relay.send(&[ALICE], MESSAGE).await, heard);
    }
}

#[tokio::test]
async fn edits_are_in_what_is_handed_on_and_it_is_split_only_where_they_differ() {
    let hop = Hop::start(&[]).await;
    let script = r#"
        message = ["add X-All yes", "file Junk"]
        relay = ["for bob@example.test add X-Bob yes"]
    "#;
    let relay = Relay::start("smtp", hop.address, "", script).await;
    let carol = "carol@elsewhere.test";
    assert!(
        relay
            .send(&[ALICE, BOB, carol], MESSAGE)
            .await
            .starts_with("250")
    );
    let seen = hop.seen();
    assert_eq!(seen.messages.len(), 2, "{:?}", seen.lines);
    let texts: Vec<_> = seen
        .messages
        .iter()
        .map(|message| String::from_utf8_lossy(message))
        .collect();
    assert!(texts.iter().all(|text| text.contains("X-All: yes\r\n")));
    assert_eq!(
        texts
            .iter()
            .filter(|text| text.contains("X-Bob: yes\r\n"))
            .count(),
        1
    );
    let (_, id) = untraced(&texts[0]);
    let journal = relay.journal(&id).await;
    assert_eq!(journal.dispositions.len(), 3);
    let hooks: Vec<_> = journal
        .turns
        .iter()
        .map(|turn| (turn.hook.name(), turn.about.clone()))
        .collect();
    assert!(
        hooks.contains(&("relay", Some("next".to_owned()))),
        "{hooks:?}"
    );
    let mut refused = journal.turns.iter().flat_map(|turn| &turn.refused);
    assert!(refused.any(|refused| refused.contains("affair of the next hop")));
    // An edit for all needs no other transaction than the one that is open.
    let relay = Relay::start("smtp", hop.address, "", "message = [\"add X-All yes\"]").await;
    let before = hop
        .seen()
        .lines
        .iter()
        .filter(|line| line.starts_with("MAIL"))
        .count();
    assert!(relay.send(&[ALICE, BOB], MESSAGE).await.starts_with("250"));
    let after = hop
        .seen()
        .lines
        .iter()
        .filter(|line| line.starts_with("MAIL"))
        .count();
    assert_eq!(after, before + 1);
}

#[tokio::test]
async fn the_envelope_goes_on_as_filters_leave_it() {
    let hop = Hop::start(&[]).await;
    let script = r#"
        rcpt = ["for alice@example.test add-recipient archive@example.test"]
        message = ["sender bounces@example.test", "remove-recipient bob@example.test"]
    "#;
    let relay = Relay::start("smtp", hop.address, "", script).await;
    assert!(relay.send(&[ALICE, BOB], MESSAGE).await.starts_with("250"));
    let lines = hop.seen().lines;
    let last = lines
        .iter()
        .rposition(|line| line.starts_with("MAIL"))
        .unwrap();
    let told: Vec<_> = lines[last..].iter().take(3).map(String::as_str).collect();
    assert_eq!(
        told,
        [
            "MAIL FROM:<bounces@example.test>",
            "RCPT TO:<archive@example.test>",
            "RCPT TO:<alice@example.test>"
        ]
    );
    hop.message();
}

#[tokio::test]
async fn a_filter_picks_another_next_hop() {
    let (hop, other) = (Hop::start(&[]).await, Hop::start(&[]).await);
    let more = format!(
        "[[next-hop]]\nname = \"other\"\nprotocol = \"smtp\"\naddress = \"{}\"\n",
        other.address
    );
    let script = r#"
        message = ["via-for bob@example.test other", "via nowhere"]
        relay = ["argument", "for carol@elsewhere.test via other"]
    "#;
    let relay = Relay::start("smtp", hop.address, &more, script).await;
    assert!(
        relay
            .send(&[ALICE, BOB, "carol@elsewhere.test"], MESSAGE)
            .await
            .starts_with("250")
    );
    let (_, id) = untraced(&hop.message());
    other.message();
    let journal = relay.journal(&id).await;
    let hops = journal
        .dispositions
        .iter()
        .map(|place| match &place.disposition {
            Disposition::Relayed { next_hop, .. } => next_hop.as_str(),
            other => panic!("{other:?}"),
        });
    assert_eq!(hops.collect::<Vec<_>>(), ["next", "other", "other"]);
    let log: Vec<_> = journal
        .turns
        .iter()
        .flat_map(|turn| &turn.log)
        .map(|line| line.text.as_str())
        .collect();
    assert_eq!(
        log,
        [
            "alice@example.test next",
            "bob@example.test other",
            "carol@elsewhere.test next"
        ]
    );
    let refused: Vec<_> = journal
        .turns
        .iter()
        .flat_map(|turn| &turn.refused)
        .collect();
    assert_eq!(refused.len(), 1);
    assert!(
        refused[0].contains("no next hop \"nowhere\"; the server's configuration has next, other"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_filter_that_sends_all_mail_another_way_at_mail_keeps_the_first_out_of_it() {
    let other = Hop::start(&[]).await;
    // Nobody is there.
    let nobody = crate::support::free();
    let more = format!(
        "[[next-hop]]\nname = \"other\"\nprotocol = \"smtp\"\naddress = \"{}\"\n",
        other.address
    );
    let relay = Relay::start("smtp", nobody, &more, "mail = [\"via other\"]").await;
    assert!(relay.send(&[ALICE], MESSAGE).await.starts_with("250"));
    other.message();
}

#[tokio::test]
async fn via_is_refused_where_nothing_is_handed_on() {
    let hop = Hop::start(&[]).await;
    let relay = Relay::start("smtp", hop.address, "", "message = [\"via next\"]").await;
    let mut client = Client::connect(&Endpoint::Tcp(relay.server.smtp())).await;
    client.up_to_data().await;
    client.write(stuffed(MESSAGE).as_bytes()).await;
    let reply = client.reply().await;
    assert!(reply.starts_with("250 2.0.0 Ok: stored as "), "{reply}");
    let journal = relay.journal(reply.rsplit(' ').next().unwrap()).await;
    let mut refused = journal.turns.iter().flat_map(|turn| &turn.refused);
    assert!(
        refused.any(|why| why.contains("no next hop")),
        "{:?}",
        journal.turns
    );
    nothing_taken(&hop);
}

#[tokio::test]
async fn verdicts_keep_the_message_from_the_next_hop() {
    for (script, to, heard) in [
        (
            "message = [\"reject 550 5 No\"]",
            vec![ALICE],
            "550 5.7.1 No",
        ),
        (
            "message = [\"tempfail 451 4 Later\"]",
            vec![ALICE],
            "451 4.7.1 Later",
        ),
        (
            "message = [\"discard\"]",
            vec![ALICE],
            "250 2.0.0 Ok: taken as ",
        ),
        ("rcpt = [\"reject 550 5 No\"]", vec![ALICE], "550 5.7.1 No"),
        // Of the message to come.
        (
            "mail = [\"discard\"]",
            vec![ALICE],
            "250 2.0.0 Ok: taken as ",
        ),
        (
            "mail = [\"quarantine odd\"]",
            vec![ALICE],
            "250 2.0.0 Ok: taken as ",
        ),
        (
            "rcpt = [\"discard\"]",
            vec![ALICE, BOB],
            "250 2.0.0 Ok: taken as ",
        ),
        (
            "rcpt = [\"quarantine odd\"]",
            vec![ALICE, BOB],
            "250 2.0.0 Ok: taken as ",
        ),
        (
            "relay = [\"reject 550 5 No\"]",
            vec![ALICE, BOB],
            "550 5.7.1 No",
        ),
        (
            "relay = [\"discard\"]",
            vec![ALICE],
            "250 2.0.0 Ok: taken as ",
        ),
        // For one of two: it comes again before anybody has it.
        (
            "relay = [\"for bob@example.test tempfail 451 4 Later\"]",
            vec![ALICE, BOB],
            "451 4.7.1 Later",
        ),
        (
            "relay = [\"for bob@example.test panic\"]",
            vec![ALICE, BOB],
            "451 4.3.0 A filter failed",
        ),
    ] {
        let hop = Hop::start(&[]).await;
        let relay = Relay::start("smtp", hop.address, "", script).await;
        let reply = relay.send(&to, MESSAGE).await;
        assert!(reply.starts_with(heard), "{script}: {reply}");
        nothing_taken(&hop);
    }
    let hop = Hop::start(&[]).await;
    let script = "relay = [\"for bob@example.test reject 550 5 No\"]";
    let relay = Relay::start("smtp", hop.address, "", script).await;
    assert!(relay.send(&[ALICE, BOB], MESSAGE).await.starts_with("250"));
    let (_, id) = untraced(&hop.message());
    let journal = relay.journal(&id).await;
    assert!(
        matches!(&journal.dispositions[1].disposition, Disposition::Discarded { why } if why.contains("refused it at relay: 550"))
    );
}

#[tokio::test]
async fn a_score_that_makes_junk_is_told_in_the_header() {
    let hop = Hop::start(&[]).await;
    let relay = Relay::start("smtp", hop.address, "", "message = [\"score SPAM 6 spam\"]").await;
    assert!(relay.send(&[ALICE], MESSAGE).await.starts_with("250"));
    assert!(hop.message().contains("X-Spam-Flag: YES\r\n"));
}

#[tokio::test]
async fn what_is_set_aside_goes_on_when_it_is_released() {
    for (script, why) in [
        ("message = [\"quarantine look\"]", "look"),
        ("message = [\"hold wait\"]", "wait"),
    ] {
        let hop = Hop::start(&[(".", Say::Text("452 4.3.1 full\r\n"))]).await;
        let relay = Relay::start("smtp", hop.address, "", script).await;
        let reply = relay.send(&[ALICE, BOB], MESSAGE).await;
        assert!(reply.starts_with("250 2.0.0 Ok: taken as "), "{reply}");
        nothing_taken(&hop);
        let config = relay.config_file();
        let release = async || {
            let config = config.clone();
            let run =
                move || process::run(&["quarantine", "release", "1", "--config", &config], "");
            tokio::task::spawn_blocking(run).await.unwrap()
        };
        // The next hop has no room.
        let output = release().await;
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains("next refuses it: 452 4.3.1 full"),
            "{why}: {said}"
        );
        let output = release().await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(said.contains("handed to next"), "{said}");
        assert_eq!(hop.seen().messages.len(), 2);
        assert!(hop.told("RCPT TO:<bob@example.test>"));
        assert!(!release().await.status.success());
    }
}

#[tokio::test]
async fn for_some_it_is_set_aside_and_for_others_it_goes_on() {
    let hop = Hop::start(&[]).await;
    let script = "relay = [\"for bob@example.test quarantine look\"]";
    let relay = Relay::start("smtp", hop.address, "", script).await;
    assert!(relay.send(&[ALICE, BOB], MESSAGE).await.starts_with("250"));
    let (_, id) = untraced(&hop.message());
    let journal = relay.journal(&id).await;
    let [alice, bob] = &journal.dispositions[..] else {
        panic!()
    };
    assert!(matches!(alice.disposition, Disposition::Relayed { .. }));
    assert!(
        matches!(&bob.disposition, Disposition::Quarantined { id: 1, why, .. } if why == "look")
    );
}

#[tokio::test]
async fn what_the_next_hop_or_a_filter_refuses_is_no_error_of_the_client() {
    let refusals: Vec<_> = (0..40)
        .map(|_| ("RCPT TO:<bad", Say::Text("550 5.1.1 no such user\r\n")))
        .collect();
    let hop = Hop::start(&refusals).await;
    let script = "message = [\"when casino reject 550 5 No\"]";
    let relay = Relay::start("smtp", hop.address, "", script).await;
    let mut client = relay.client().await;
    let mail = ("MAIL FROM:<a@client.test>", "250");
    client.dialogue(&[mail]).await;
    for number in 0..40 {
        let command = format!("RCPT TO:<bad{number}@example.test>");
        client
            .dialogue(&[(&command, "550 5.1.1 no such user")])
            .await;
    }
    for number in 0..10 {
        let command = format!("RCPT TO:<good{number}@example.test>");
        client.dialogue(&[(&command, "250")]).await;
    }
    client.dialogue(&[("DATA", "354")]).await;
    client.write(stuffed(MESSAGE).as_bytes()).await;
    assert_eq!(client.reply().await, "250 2.0.0 taken as 17");
    for _ in 0..25 {
        client
            .dialogue(&[
                mail,
                ("RCPT TO:<alice@example.test>", "250"),
                ("DATA", "354"),
            ])
            .await;
        client.write(b"Subject: casino\r\n\r\n.\r\n").await;
        assert_eq!(client.reply().await, "550 5.7.1 No");
    }
}

#[tokio::test]
async fn two_releases_at_once_hand_it_on_once() {
    let now = Arc::new(Notify::new());
    let slow = Say::Then(Arc::clone(&now), "250 2.0.0 taken as 17\r\n");
    let hop = Hop::start(&[(".", slow)]).await;
    let script = "message = [\"quarantine look\"]";
    let relay = Relay::start("smtp", hop.address, "", script).await;
    assert!(relay.send(&[ALICE], MESSAGE).await.starts_with("250"));
    let config = relay.config_file();
    let release = || {
        let config = config.clone();
        let run = move || process::run(&["quarantine", "release", "1", "--config", &config], "");
        tokio::task::spawn_blocking(run)
    };
    let first = release();
    until(|| hop.seen().messages.len() == 1).await;
    let second = release().await.unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success());
    assert!(said.contains("it is being released already"), "{said}");
    now.notify_one();
    assert!(first.await.unwrap().status.success());
    // It is let go of, and gone.
    let third = release().await.unwrap();
    let said = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(said.contains("there is no message 1"), "{said}");
    hop.message();
}

#[tokio::test]
async fn who_is_put_off_before_the_message_keeps_it_from_the_others() {
    // The transaction beside the client's is lost; in the next one bob is put off.
    let lost = Say::Last("421 4.3.2 restarting\r\n");
    for script in [
        vec![
            (
                "RCPT TO:<archive",
                Say::Text("452 4.2.2 archive is full\r\n"),
            ),
            (
                "RCPT TO:<archive",
                Say::Text("452 4.2.2 archive is full\r\n"),
            ),
        ],
        vec![("RCPT TO:<archive", lost)],
    ] {
        let hop = Hop::start(&script).await;
        let add = "message = [\"add-recipient archive@example.test\"]";
        let relay = Relay::start("smtp", hop.address, "", add).await;
        for _ in 0..script.len() {
            let reply = relay.send(&[ALICE], MESSAGE).await;
            assert!(reply.starts_with("45"), "{reply}");
        }
        nothing_taken(&hop);
        assert!(!hop.told("DATA"), "{:?}", hop.seen().lines);
        let reply = relay.send(&[ALICE], MESSAGE).await;
        assert!(reply.starts_with("250"), "{reply}");
        hop.message();
    }
}

#[tokio::test]
async fn what_a_filter_added_and_the_next_hop_refuses_is_no_refusal_to_the_client() {
    let no = || ("RCPT TO:<archive", Say::Text("550 5.1.1 no such user\r\n"));
    let hop = Hop::start(&[no(), no()]).await;
    let add = "message = [\"add-recipient archive@example.test\", \"when moved remove-recipient alice@example.test\"]";
    let relay = Relay::start("smtp", hop.address, "", add).await;
    let reply = relay.send(&[ALICE], MESSAGE).await;
    assert_eq!(reply, "250 2.0.0 taken as 17");
    let (_, id) = untraced(&hop.message());
    let journal = relay.journal(&id).await;
    assert!(
        matches!(&journal.dispositions[1].disposition, Disposition::Refused { reply } if reply.contains("550 5.1.1")),
        "{:?}",
        journal.dispositions
    );
    // Nobody has it.
    let reply = relay.send(&[ALICE], "Subject: moved\r\n\r\nx\r\n").await;
    assert_eq!(reply, "550 5.1.1 no such user");
}
