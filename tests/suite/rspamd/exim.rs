//! A real Exim asks as it would ask rspamd, with the lines of docs/rspamd-protocol.md.

use super::{MESSAGE, address, journal, logged, with};
use crate::nexthop::exim_rig::{Exim, Lines};
use crate::support::page::blocks;
use crate::support::process::Sender;
use crate::support::{ALICE, Server};

/// `lenient`: mail goes on while nobody answers.
fn lines(server: &Server, lenient: bool) -> Lines {
    let blocks = blocks("rspamd-protocol.md", "Exim");
    let [asked, strict, instead] = <[String; 3]>::try_from(blocks).unwrap();
    let asked = asked.replace("11333", &address(server).port().to_string());
    let data = match lenient {
        false => strict,
        true => {
            let others = strict.find("  defer ").unwrap();
            format!("{instead}{}", &strict[others..])
        }
    };
    Lines {
        main: format!("local_interfaces = <; [0.0.0.0]:25\n{asked}"),
        data,
        ..Lines::default()
    }
}

fn about(word: &str) -> String {
    MESSAGE.replace("hello", word)
}

#[tokio::test(flavor = "multi_thread")]
async fn exim_does_what_the_filters_say() {
    if Exim::program().is_none() {
        return;
    }
    let server = with("").await;
    let Some(exim) = Exim::start(&lines(&server, false)).await else {
        return;
    };
    for (word, code, reply) in [
        ("spam", 550, "Refused: judged to be spam (score 20.0)"),
        ("refuse", 550, "Refused: judged to be spam (score 0.0)"),
        ("later", 451, "Please try again later"),
    ] {
        let said = exim.send(ALICE, &about(word)).await;
        assert_eq!(said, (code, reply.to_owned()), "{}", exim.log());
    }
    exim.taken(ALICE, &about("lost")).await;
    assert_eq!((exim.queued(), exim.frozen()), (0, 0));
    exim.taken(ALICE, &about("aside")).await;
    assert_eq!((exim.queued(), exim.frozen()), (1, 1));
    exim.taken(ALICE, &about("hello")).await;
    exim.delivered(ALICE, 1).await;
    let id = exim.taken(ALICE, &about("junk")).await;
    let delivered = exim.delivered(ALICE, 2).await;
    for (text, score, is_junk) in [
        (&delivered[0], "0.0 (no action)", false),
        (&delivered[1], "6.2 (add header)", true),
    ] {
        assert!(
            text.contains(&format!("X-Spam-Score: {score}\r\n")),
            "{text}"
        );
        assert_eq!(text.contains("X-Spam-Flag: YES\r\n"), is_junk, "{text}");
    }
    // What it said of its client and of the envelope.
    let said = logged(&journal(&server, &id).await);
    assert!(
        said[0].contains("127.0.0.1") && said[0].contains("client.example"),
        "{said:?}"
    );
    assert_eq!(said[1], "sender@client.example -> alice@example.test");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_we_are_gone_clients_of_exim_come_again_unless_it_shall_not_wait() {
    if Exim::program().is_none() {
        return;
    }
    for (lenient, code) in [(false, 451), (true, 250)] {
        let server = with("").await;
        let Some(exim) = Exim::start(&lines(&server, lenient)).await else {
            return;
        };
        let mut client = Sender::connect(exim.address).unwrap();
        let mut send = |word| client.send_octets(ALICE, about(word).as_bytes()).unwrap();
        assert_eq!(send("hello").0, 250);
        assert_eq!(send("refuse").0, 550);
        server.app.stop().await;
        // What was said of the one before does not count.
        let (found, text) = send("hello");
        assert_eq!(found, code, "{text}\n{}", exim.log());
        let count = if lenient { 2 } else { 1 };
        let delivered = exim.delivered(ALICE, count).await;
        assert_eq!(delivered.len(), count);
        let scored = |text: &&String| text.contains("X-Spam-Score: ");
        assert_eq!(delivered.iter().filter(scored).count(), 1);
    }
}
