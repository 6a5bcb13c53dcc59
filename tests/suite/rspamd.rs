//! Rspamd's scan protocol, as programs made for it speak it: rspamc of Debian, Exim with its way from before HTTP, Haraka with
//! its plugin.

mod exim;
mod haraka;

use crate::hooks::{journal, logged};
use crate::milter::addresses::ODD;
use crate::milter::guest;
use crate::support::http::{Answer, Client, SECRET, post};
use crate::support::{Server, program};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wasmilter::config::Protocol;

const MESSAGE: &str = "From: a@client.test\r\nTo: alice@example.test\r\nMessage-ID: <m1@client.test>\r\nSubject: hello\r\n\r\nHello.\r\n";

const SCRIPT: &str = r#"message = [
    "session", "envelope",
    "when refuse reject 554 5 no way", "when later tempfail 450 4 later", "when lost discard", "when aside quarantine odd",
    "when spam score SPAM 20 of course", "when junk score JUNK 5.7 likely", "when junk score JUNK 0.5 once more", "when ham score HAM -1.5 known",
    "when edit insert X-Top", "when edit add X-End 1", "when edit change X-Two second", "when edit remove X-Old",
    "when edit sender b@other.test", "when edit add-recipient carol@example.test", "when edit remove-recipient alice@example.test",
    "when edit replace new",
]"#;

async fn with(more: &str) -> Server {
    let more = format!(
        "[[listener]]\nprotocol = \"rspamd\"\naddress = \"127.0.0.1:0\"\n{more}[plugins]\ndirectory = \"plugins\"\n"
    );
    Server::with(&more, |home| guest(home, "guest", SCRIPT)).await
}

fn address(server: &Server) -> SocketAddr {
    server.address(Protocol::Rspamd)
}

async fn scan(server: &Server, fields: &str, message: &str) -> Value {
    let answer = post(address(server), "/checkv2", fields, message.as_bytes()).await;
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    answer.json()
}

const FIELDS: &str = "From: <a@client.test>\r\nRcpt: <alice@example.test>\r\nRcpt: bob@example.test, <c@example.test>\r\n\
    IP: 192.0.2.7\r\nHelo: client.test\r\nHostname: mail.client.test\r\nUser: carol\r\nQueue-Id: 4XyZ9k\r\n\
    TLS-Version: TLSv1.3\r\nTLS-Cipher: X\r\nDeliver-To: alice@example.test\r\nPass: all\r\nMTA-Name: mx.client.test\r\n";

#[tokio::test]
async fn what_is_said_of_a_message_is_known_and_what_is_found_is_said() {
    let server = with("").await;
    let said = scan(&server, FIELDS, &MESSAGE.replace("hello", "ham")).await;
    let own = journal(&server, "4XyZ9k").await;
    let transaction = own.id.as_str();
    assert_eq!(
        logged(&own),
        [
            &format!(
                "mx.client.test 192.0.2.7 Some(\"mail.client.test\") client.test ESMTPSA Some(\"TLSv1.3 X\") Some(\"carol\") {transaction}"
            )[..],
            "a@client.test -> alice@example.test bob@example.test c@example.test",
        ]
    );
    let mut said = said;
    assert!(said["time_real"].as_f64().unwrap() > 0.0);
    said["time_real"] = json!(0);
    assert_eq!(
        said,
        json!({
            "is_skipped": false, "score": -1.5, "required_score": 15.0, "action": "no action",
            "thresholds": {"reject": 15.0, "add header": 5.0},
            "symbols": {"HAM": {"name": "HAM", "score": -1.5, "metric_score": -1.5, "description": "by the filter guest", "options": ["known"]}},
            "messages": {}, "message-id": "m1@client.test", "time_real": 0,
        })
    );
    // Nothing need be said, and line ends may be those of files.
    let said = scan(
        &server,
        "",
        &MESSAGE.replace("\r\n", "\n").replace("m1@", "m2@"),
    )
    .await;
    assert_eq!(said["action"], "no action");
    let own = journal(&server, "m2@client.test").await;
    assert_eq!(own.size, MESSAGE.len() as u64);
    assert_eq!(logged(&own)[1], " -> ");
    assert_eq!(own.verdict.name(), "continue");
}

#[tokio::test]
async fn verdicts_and_thresholds_have_their_actions() {
    let server = with("").await;
    for (word, action, score, text) in [
        ("hello", "no action", 0.0, None),
        ("junk", "add header", 6.2, None),
        ("spam", "reject", 20.0, Some("judged to be spam")),
        ("refuse", "reject", 0.0, Some("no way")),
        ("later", "soft reject", 0.0, Some("later")),
        ("lost", "discard", 0.0, None),
        ("aside", "quarantine", 0.0, Some("odd")),
    ] {
        let said = scan(&server, FIELDS, &MESSAGE.replace("hello", word)).await;
        assert_eq!(said["action"], action, "{word}");
        assert_eq!(said["score"], score, "{word}");
        let message = said["messages"]["smtp_message"].as_str();
        assert_eq!(message.is_some(), text.is_some(), "{word}: {said}");
        assert!(
            message
                .unwrap_or_default()
                .contains(text.unwrap_or_default()),
            "{said}"
        );
        let flag = &said["milter"]["add_headers"]["X-Spam-Flag"];
        assert_eq!(*flag == json!({"value": "YES", "order": 0}), word == "junk");
    }
    // One name given twice.
    let said = scan(&server, FIELDS, &MESSAGE.replace("hello", "junk")).await;
    assert_eq!(
        said["symbols"]["JUNK"]["options"],
        json!(["likely", "once more"])
    );
}

#[tokio::test]
async fn changes_are_said_as_a_milter_client_of_rspamd_takes_them() {
    let server = with("").await;
    let message = MESSAGE.replace(
        "Subject: hello",
        "X-Two: 1\r\nX-Two: 2\r\nX-Old: 1\r\nSubject: edit",
    );
    let said = scan(
        &server,
        "From: a@client.test\r\nRcpt: alice@example.test\r\nQueue-Id: Q9\r\n",
        &message,
    )
    .await;
    let field = |value: &str, order: i32| json!({"value": value, "order": order});
    assert_eq!(
        said["milter"],
        json!({
            "add_headers": {
                "X-Top": field("inserted", 0),
                "X-End": field("1", -1),
                "X-Two": [field("second", -1), field("2", -1)],
            },
            "remove_headers": {"x-two": 0, "x-old": 0},
            "change_from": "b@other.test",
            "add_rcpt": ["carol@example.test"],
            "del_rcpt": ["alice@example.test"],
        })
    );
    let own = journal(&server, "Q9").await;
    let refused: Vec<_> = own.turns.iter().flat_map(|turn| &turn.refused).collect();
    assert!(
        refused.iter().any(|why| why.contains("new body")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_the_mail_server_takes_is_taken() {
    let server = with("").await;
    for (number, (given, read)) in ODD.iter().enumerate() {
        let id = format!("Q{number}");
        let fields = format!("Queue-Id: {id}\r\nFrom: <{given}>\r\nRcpt: {given}\r\n");
        assert_eq!(scan(&server, &fields, MESSAGE).await["action"], "no action");
        let own = journal(&server, &id).await;
        assert_eq!(logged(&own)[1], format!("{read} -> {read}"));
    }
    let fields =
        "Queue-Id: Q9\r\nFrom: a@client.test\r\nRcpt: bob@x y.test\r\nRcpt: alice@example.test\r\n";
    assert_eq!(scan(&server, fields, MESSAGE).await["action"], "no action");
    let own = journal(&server, "Q9").await;
    assert_eq!(logged(&own)[1], "a@client.test -> alice@example.test");
    let mut refused = own.turns.iter().flat_map(|turn| &turn.refused);
    assert!(refused.any(|why| why.contains("bob@x y.test")));
    // What it says of nobody is not to be taken for the sender of a bounce.
    let fields = "From: a@x y.test\r\nRcpt: alice@example.test\r\n";
    let said = scan(&server, fields, MESSAGE).await;
    assert_eq!(said["action"], "reject");
    let why = said["messages"]["smtp_message"].as_str().unwrap();
    assert!(why.contains("a@x y.test is not understood"), "{why}");
}

#[tokio::test]
async fn there_may_be_more_recipients_than_a_client_of_smtp_may_name() {
    let server = with("").await;
    let long = "x".repeat(250);
    let many = (0..1500).map(|n| format!("Rcpt: <{n}-{long}@example.test>\r\n"));
    let many: String = many.collect();
    let fields = format!("Queue-Id: Q1\r\n{many}");
    assert_eq!(scan(&server, &fields, MESSAGE).await["action"], "no action");
    let own = journal(&server, "Q1").await;
    assert_eq!(own.envelope.recipients.len(), 1500);
    let fields = fields.replace("Q1", "Q2");
    let said = check(&server, &fields, MESSAGE.as_bytes()).await;
    assert!(said.contains("EX_OK"), "{said}");
    let own = journal(&server, "Q2").await;
    assert_eq!(own.envelope.recipients.len(), 1500);
    let many = "Rcpt: <a@example.test>\r\n".repeat(10_000);
    let answer = post(address(&server), "/checkv2", &many, MESSAGE.as_bytes()).await;
    assert_eq!(answer.status, 431);
}

/// The client of Debian's package.
async fn rspamc(server: &Server, arguments: &[&str], message: &str) -> Option<String> {
    let mut command = program("rspamc")?;
    let file = server.home.path().join("message.eml");
    std::fs::write(&file, message).unwrap();
    command
        .args(["-h", &address(server).to_string(), "-t", "30"])
        .args(arguments)
        .arg(&file)
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn rspamc_shows_what_the_filters_found() {
    let server = with(&format!("secret = \"{SECRET}\"\n")).await;
    let facts = [
        "-P",
        SECRET,
        "-F",
        "a@client.test",
        "-r",
        "alice@example.test",
        "-i",
        "192.0.2.7",
        "--helo",
        "client.test",
        "symbols",
    ];
    let Some(said) = rspamc(
        &server,
        &facts,
        &MESSAGE.replace("hello", "junk").replace("\r\n", "\n"),
    )
    .await
    else {
        return;
    };
    for line in [
        "Action: add header",
        "Score: 6.20 / 15.00",
        "Symbol: JUNK (6.20)",
        "Message-ID: m1@client.test",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let own = journal(&server, "m1@client.test").await;
    assert!(
        logged(&own)[0].contains("192.0.2.7 None client.test"),
        "{:?}",
        logged(&own)
    );
    assert_eq!(logged(&own)[1], "a@client.test -> alice@example.test");
    let said = rspamc(
        &server,
        &["-P", SECRET, "symbols"],
        &MESSAGE.replace("hello", "refuse"),
    )
    .await
    .unwrap();
    assert!(said.contains("Action: reject"), "{said}");
}

/// As Exim asks (`spamd_address = … variant=rspamd`).
async fn check(server: &Server, fields: &str, message: &[u8]) -> String {
    let mut stream = TcpStream::connect(address(server)).await.unwrap();
    let head = format!(
        "CHECK RSPAMC/1.3\r\nContent-length: {}\r\n{fields}\r\n",
        message.len()
    );
    // In pieces, as a network might.
    let octets = [head.as_bytes(), message].concat();
    for piece in octets.chunks(7.max(octets.len() / 100)) {
        stream.write_all(piece).await.unwrap();
    }
    let mut said = String::new();
    let reading = stream.read_to_string(&mut said);
    tokio::time::timeout(Duration::from_secs(60), reading)
        .await
        .unwrap()
        .unwrap();
    said
}

#[tokio::test]
async fn the_protocol_before_http_is_answered_in_its_form() {
    let server = with("").await;
    let fields = "Queue-Id: 1wXyZ-0001\r\nFrom: <a@client.test>\r\nRecipient-Number: 1\r\nRcpt: <alice@example.test>\r\nHelo: client.test\r\nIP: 192.0.2.7\r\n";
    let message = MESSAGE.replace("hello", "junk");
    let said = check(&server, fields, message.as_bytes()).await;
    assert_eq!(
        said,
        "RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; 6.20 / 15.00 / 15.00\r\nAction: add header\r\n\
         Symbol: JUNK(5.70); likely\r\nSymbol: JUNK(0.50); once more\r\nMessage-ID: m1@client.test\r\n"
    );
    assert_eq!(
        logged(&journal(&server, "1wXyZ-0001").await)[1],
        "a@client.test -> alice@example.test"
    );
    for (fields, message, why) in [
        ("IP: nowhere\r\n", MESSAGE, "not an IP address"),
        ("File: /etc/passwd\r\n", MESSAGE, "names a file"),
        ("no colon\r\n", MESSAGE, "no colon"),
        ("", "", "no message"),
    ] {
        let said = check(&server, fields, message.as_bytes()).await;
        assert!(
            said.starts_with("RSPAMD/1.3 76 ") && said.contains(why),
            "{said}"
        );
    }
    let server = with(&format!("secret = \"{SECRET}\"\n")).await;
    let said = check(&server, fields, MESSAGE.as_bytes()).await;
    assert!(said.starts_with("RSPAMD/1.3 76 "), "{said}");
    let with_secret = format!("Password: {SECRET}\r\n{fields}");
    assert!(
        check(&server, &with_secret, MESSAGE.as_bytes())
            .await
            .contains("EX_OK")
    );
}

async fn send(server: &Server, head: &str, body: &[u8]) -> Answer {
    Client::connect(address(server))
        .await
        .request(head, body)
        .await
}

#[tokio::test]
async fn what_is_wrong_is_said_and_others_are_served() {
    let more = format!("secret = \"{SECRET}\"\n[limits]\nmessage-size = \"64 KiB\"\n");
    let server = with(&more).await;
    let large = vec![b'x'; 80 << 10];
    let right = format!("POST /checkv2 HTTP/1.1\r\nPassword: {SECRET}\r\n");
    for (head, body, status) in [
        (
            "POST /checkv2 HTTP/1.1\r\n".to_owned(),
            MESSAGE.as_bytes(),
            401,
        ),
        (
            "POST /checkv2 HTTP/1.1\r\nPassword: wrong\r\n".to_owned(),
            MESSAGE.as_bytes(),
            401,
        ),
        ("GET /checkv2 HTTP/1.1\r\n".to_owned(), b"", 405),
        (
            "POST /learnspam HTTP/1.1\r\n".to_owned(),
            MESSAGE.as_bytes(),
            404,
        ),
        (right.clone(), b"", 400),
        (right.clone(), &large, 413),
        (format!("{right}IP: 1.2.3\r\n"), MESSAGE.as_bytes(), 400),
        (format!("{right}Shm: x\r\n"), MESSAGE.as_bytes(), 400),
        (
            format!("{right}Compression: zstd\r\n"),
            MESSAGE.as_bytes(),
            415,
        ),
        (
            format!("{right}From: a b@@\r\nRcpt: <>, @, c@d\r\n"),
            MESSAGE.as_bytes(),
            200,
        ),
        ("GET /ping HTTP/1.0\r\n".to_owned(), b"", 200),
    ] {
        let answer = send(&server, &head, body).await;
        assert_eq!(answer.status, status, "{head}");
        if status >= 400 {
            assert!(!answer.json()["error"].as_str().unwrap().is_empty());
        }
    }
    // Connections that say nothing, or stop in the middle.
    let mut silent = Vec::new();
    for number in 0..1000 {
        let mut stream = TcpStream::connect(address(&server)).await.unwrap();
        let begun: &[u8] = match number % 4 {
            0 => b"",
            1 => b"CHECK",
            2 => b"CHECK RSPAMC/1.3\r\nContent-length: 5\r\n",
            _ => b"POST /checkv2 HTTP/1.1\r\n",
        };
        stream.write_all(begun).await.unwrap();
        silent.push(stream);
    }
    assert_eq!(scan(&server, FIELDS, MESSAGE).await["action"], "no action");
}
