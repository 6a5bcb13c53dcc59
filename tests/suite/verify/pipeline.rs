//! Through SMTP: what a client is told, and what its message looks like afterwards. The client is 127.0.0.1 and sends for client.example.

use super::checks::{Keys, TWO_FACED, message};
use crate::support::dns::{Dns, Otherwise, Zone};
use crate::support::imap::Reader;
use crate::support::process::{Sender, run};
use crate::support::{ALICE, PASSWORD, Server};
use hickory_server::proto::op::ResponseCode;
use wasmilter::mail::{Disposition, Journal};
use wasmilter::store::Store;

const GOOD: &str = "v=spf1 ip4:127.0.0.1 -all";
const BAD: &str = "v=spf1 -all";

async fn send(server: &Server, message: &str) -> (u16, String) {
    let mut sender = Sender::connect(server.smtp()).unwrap();
    sender.send_octets(ALICE, message.as_bytes()).unwrap()
}

/// The journal of what this reply is about: "... as ID".
async fn journal(server: &Server, reply: &str) -> Journal {
    let id = reply.trim().rsplit(' ').next().unwrap();
    server.app.store().journal(id).await.unwrap().unwrap()
}

fn mailbox(journal: &Journal) -> &str {
    match &journal.dispositions[0].disposition {
        Disposition::Filed { mailbox, .. } => mailbox,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_written_on_top_and_forged_ones_removed() {
    let keys = Keys::of("author.test");
    let zone = keys
        .publish(Zone::default())
        .text("client.example", GOOD)
        .text("_dmarc.author.test", "v=DMARC1; p=reject");
    let dns = Dns::start(zone).await;
    let server = Server::with(&dns.config(""), |_| {}).await;
    let forged = "Authentication-Results: mx.example.test; spf=fail\r\n";
    let theirs = "Authentication-Results: mx.elsewhere.test; spf=fail\r\n";
    let signed = keys.sign(&message("a@author.test"));
    let sent = format!("{forged}{theirs}{signed}");
    let (code, reply) = send(&server, &sent).await;
    assert_eq!(code, 250, "{reply}");

    let mut reader = Reader::open(server.imap(), ALICE, PASSWORD, "INBOX");
    let stored = String::from_utf8(reader.fetch(1)).unwrap();
    let (trace, rest) = stored.split_at(stored.find(theirs).unwrap());
    assert_eq!(rest, format!("{theirs}{signed}"));
    let results = trace
        .find("Authentication-Results: mx.example.test;")
        .unwrap();
    assert!(results < trace.find("\r\nReceived: ").unwrap(), "{trace}");
    assert_eq!(
        trace.matches("Authentication-Results").count(),
        1,
        "{trace}"
    );
    for result in [
        "spf=pass\r\n\t smtp.mailfrom=client.example;",
        "dkim=pass\r\n\t header.d=author.test header.s=rsa ",
        "arc=none",
        "dmarc=pass\r\n\t header.from=author.test\r\n",
    ] {
        assert!(trace.contains(result), "{result}: {trace}");
    }

    let journal = journal(&server, &reply).await;
    let methods = journal.authentication.iter().map(|result| &*result.method);
    let methods: Vec<_> = methods.collect();
    assert_eq!(methods, ["iprev", "spf", "dkim", "dkim", "arc", "dmarc"]);
    let config = server.home.path().join("wasmilter.toml");
    let arguments = [
        "explain",
        journal.id.as_str(),
        "--config",
        config.to_str().unwrap(),
    ];
    let explained = String::from_utf8(run(&arguments, "").stdout).unwrap();
    for line in [
        "  spf    pass  smtp.mailfrom=client.example",
        "  - Authentication-Results: mx.example.test; spf=fail",
    ] {
        assert!(explained.contains(line), "{explained}");
    }
}

/// What is refused for its header costs no more than reading it.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_of_too_many_fields_is_not_looked_at() {
    let dns = Dns::start(Zone::default().text("client.example", GOOD)).await;
    let config = dns.config("") + "[limits]\nheader-fields = 50\n";
    let server = Server::with(&config, |_| {}).await;
    let forged = "Authentication-Results: mx.example.test; spf=fail\r\n".repeat(60);
    let (code, reply) = send(&server, &format!("{forged}\r\ntext\r\n")).await;
    assert_eq!(code, 554, "{reply}");
    let journals = server.app.store().journals_after("", 10).await.unwrap();
    let [journal] = &journals[..] else {
        panic!("{journals:?}")
    };
    assert!(journal.turns.is_empty(), "{:?}", journal.turns);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_results_are_removed_even_where_nothing_is_checked() {
    let server = Server::start().await;
    let sent = format!(
        "Authentication-Results: MX.example.test 1; dmarc=pass\r\n{}",
        message("a@author.test")
    );
    assert_eq!(send(&server, &sent).await.0, 250);
    let mut reader = Reader::open(server.imap(), ALICE, PASSWORD, "INBOX");
    let stored = String::from_utf8(reader.fetch(1)).unwrap();
    assert!(!stored.contains("Authentication-Results"), "{stored}");
    assert!(stored.ends_with(&message("a@author.test")), "{stored}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_treated_as_configured() {
    let servfail = Otherwise::Error(ResponseCode::ServFail);
    let base = || Zone::default().text("client.example", GOOD);
    let spoofed = || base().text("_dmarc.author.test", "v=DMARC1; p=reject");
    let asks_for_junk = || base().text("_dmarc.author.test", "v=DMARC1; p=quarantine");
    let key = "rsa._domainkey.author.test";
    let signed = Keys::of("author.test").sign(&message("a@author.test"));
    let plain = message("a@author.test");
    // Whom to look at, the zone, the message; the reply; the mailbox and the symbol.
    let bad = || Zone::default().text("client.example", BAD);
    let table = [
        ("spf = \"none\"", bad(), &plain, "250 2.0.0", "INBOX", ""),
        (
            "spf = \"tag\"",
            bad(),
            &plain,
            "250 2.0.0",
            "INBOX",
            "SPF_FAIL",
        ),
        (
            "spf = \"junk\"",
            bad(),
            &plain,
            "250 2.0.0",
            "Junk",
            "SPF_FAIL",
        ),
        ("spf = \"reject\"", bad(), &plain, "550 5.7.23", "", ""),
        ("spf = \"reject\"", base(), &plain, "250 2.0.0", "INBOX", ""),
        (
            "spf = \"reject\"",
            Zone::default().otherwise("client.example", servfail),
            &plain,
            "451 4.7.24",
            "",
            "",
        ),
        (
            "dkim = \"junk\"",
            base(),
            &signed,
            "250 2.0.0",
            "Junk",
            "DKIM_FAIL",
        ),
        ("dkim = \"reject\"", base(), &signed, "550 5.7.20", "", ""),
        (
            "dkim = \"reject\"",
            base(),
            &plain,
            "250 2.0.0",
            "INBOX",
            "",
        ),
        (
            "dkim = \"reject\"",
            base().otherwise(key, servfail),
            &signed,
            "451 4.7.5",
            "",
            "",
        ),
        (
            "dmarc = \"tag\"",
            spoofed(),
            &plain,
            "250 2.0.0",
            "INBOX",
            "DMARC_FAIL",
        ),
        (
            "dmarc = \"reject\"",
            asks_for_junk(),
            &plain,
            "250 2.0.0",
            "Junk",
            "DMARC_FAIL",
        ),
        (
            "dmarc = \"reject\"",
            spoofed(),
            &plain,
            "550 5.7.26",
            "",
            "",
        ),
        (
            "dmarc = \"reject\"",
            base().otherwise("_dmarc.author.test", servfail),
            &plain,
            "451 4.7.26",
            "",
            "",
        ),
    ];
    for (policy, zone, sent, answer, place, symbol) in table {
        let dns = Dns::start(zone).await;
        let server = Server::with(&dns.config(policy), |_| {}).await;
        let (code, reply) = send(&server, sent).await;
        let reply = format!("{code} {reply}");
        assert!(reply.starts_with(answer), "{policy}: {reply}");
        if !place.is_empty() {
            let journal = journal(&server, &reply).await;
            assert_eq!(mailbox(&journal), place, "{policy}");
            let symbols: Vec<_> = journal.symbols().map(|symbol| &*symbol.name).collect();
            assert_eq!(symbols.join(" "), symbol, "{policy}");
        }
        server.app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_author_behind_a_line_that_is_no_field_is_not_let_in() {
    let zone = Zone::default()
        .text("client.example", GOOD)
        .text("_dmarc.author.test", "v=DMARC1; p=reject");
    let dns = Dns::start(zone).await;
    let server = Server::with(&dns.config("dmarc = \"reject\""), |_| {}).await;
    for text in TWO_FACED {
        let (code, reply) = send(&server, text).await;
        assert!(
            code == 550 && reply.contains("5.7.26"),
            "{text}: {code} {reply}"
        );
    }
}
