//! A real Exim asks as it would ask rspamd, with the lines of docs/rspamd-protocol.md.

use super::{MESSAGE, address, journal, logged, with};
use crate::nexthop::exim_rig::{Exim, Lines};
use crate::support::page::blocks;
use crate::support::{ALICE, Server};

fn lines(server: &Server) -> Lines {
    let [asked, data] = <[String; 2]>::try_from(blocks("rspamd-protocol.md", "Exim")).unwrap();
    let asked = asked.replace("11333", &address(server).port().to_string());
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
    let Some(exim) = Exim::start(&lines(&server)).await else {
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
    let server = with("").await;
    let strict = lines(&server);
    let mut lenient = strict.clone();
    lenient.data = lenient.data.replace("nobody:true", "nobody:true/defer_ok");
    server.app.stop().await;
    for (lines, code) in [(strict, 451), (lenient, 250)] {
        let Some(exim) = Exim::start(&lines).await else {
            return;
        };
        let (found, text) = exim.send(ALICE, MESSAGE).await;
        assert_eq!(found, code, "{text}\n{}", exim.log());
        let count = usize::from(code == 250);
        assert_eq!(exim.delivered(ALICE, count).await.len(), count);
    }
}
