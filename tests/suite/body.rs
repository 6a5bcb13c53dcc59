//! Bodies that filters change, from the SMTP client that sends them to the mail client that reads them.

use crate::support::imap::Reader;
use crate::support::process::run;
use crate::support::{ALICE, BOB, PASSWORD, Server};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use wasmilter::kit::{self, CaseEnd};
use wasmilter::plugin::{Config, Granting, Host, embedded};

static GUEST: &[u8] = include_bytes!(env!("WASMILTER_TEST_GUEST"));

/// Scripted filters, in the order of their names.
async fn server(scripts: &[(&str, &str)]) -> Server {
    Server::with("[plugins]\ndirectory = \"plugins\"\n", |home| {
        for (name, script) in scripts {
            let folder = home.join("plugins").join(name);
            std::fs::create_dir_all(&folder).unwrap();
            let manifest = format!("[limits]\ncpu-ms = 5000\n[config]\n{script}\n");
            std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
            std::fs::write(folder.join("filter.wasm"), GUEST).unwrap();
        }
    })
    .await
}

/// Sends to alice and bob in one transaction. The transaction's identifier.
fn send(server: &Server, message: &str) -> String {
    let socket = TcpStream::connect(server.smtp()).unwrap();
    let mut socket = BufReader::new(socket);
    let mut last = String::new();
    let mut say = |line: &str| {
        socket.get_mut().write_all(line.as_bytes()).unwrap();
        loop {
            last.clear();
            socket.read_line(&mut last).unwrap();
            if last.as_bytes()[3] == b' ' {
                return last.trim_end().to_owned();
            }
        }
    };
    say("");
    say("EHLO client.test\r\n");
    say("MAIL FROM:<sender@client.test>\r\n");
    for recipient in [ALICE, BOB] {
        let reply = say(&format!("RCPT TO:<{recipient}>\r\n"));
        assert!(reply.starts_with("250"), "{reply}");
    }
    say("DATA\r\n");
    let reply = say(&format!("{message}\r\n.\r\n"));
    assert!(reply.starts_with("250"), "{reply}");
    reply.rsplit(' ').next().unwrap().to_owned()
}

/// The copy without the fields that the server put on top.
fn stored(server: &Server, who: &str) -> String {
    let mut reader = Reader::open(server.imap(), who, PASSWORD, "INBOX");
    let message = String::from_utf8(reader.fetch(1)).unwrap();
    let start = message.find("From: ").unwrap();
    message[start..].to_owned()
}

/// What the server says to one command of a mail client, up to its end.
fn imap(server: &Server, who: &str, command: &str) -> String {
    let socket = TcpStream::connect(server.imap()).unwrap();
    let mut socket = BufReader::new(socket);
    let mut all = String::new();
    for (tag, command) in [
        ("a", format!("LOGIN {who} \"{PASSWORD}\"")),
        ("b", "SELECT INBOX".to_owned()),
        ("c", command.to_owned()),
    ] {
        all.clear();
        let line = format!("{tag} {command}\r\n");
        socket.get_mut().write_all(line.as_bytes()).unwrap();
        while !all
            .lines()
            .last()
            .is_some_and(|line| line.starts_with(&format!("{tag} ")))
        {
            socket.read_line(&mut all).unwrap();
        }
    }
    all
}

/// Alternatives, an attachment, and a signed part.
fn nested() -> String {
    [
        "From: sender@client.test",
        "Subject: nested",
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed; boundary=outer",
        "",
        "--outer",
        "Content-Type: multipart/alternative; boundary=inner",
        "",
        "--inner",
        "",
        "plain",
        "--inner",
        "Content-Type: text/html",
        "",
        "<p>plain</p>",
        "--inner--",
        "--outer",
        "Content-Type: multipart/signed; boundary=sig; protocol=\"application/pgp-signature\"",
        "",
        "--sig",
        "Content-Type: text/plain",
        "",
        "signed,  to the octet ",
        "--sig",
        "Content-Type: application/pgp-signature",
        "",
        "iQ==",
        "--sig--",
        "--outer",
        "Content-Type: application/x-msdownload; name=a.exe",
        "Content-Disposition: attachment",
        "Content-Transfer-Encoding: base64",
        "",
        "TVo=",
        "--outer--",
    ]
    .join("\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_recipients_of_one_transaction_get_different_bodies() {
    let server = server(&[
        ("a", r#"message = ["replace-part 1.1 text/plain for all", "drop-part-for bob@example.test 3 a.exe was removed", "add X-A 1"]"#),
        ("b", r#"message = ["get X-A", "parts"]
                 deliver = ["for alice@example.test replace-part 1.2 text/html <p>Grüße, Alice</p>"]"#),
    ])
    .await;
    let id = send(&server, &nested());
    let sent = nested().replace("Content-Type: multipart/mixed; boundary=outer", "Content-Type: multipart/mixed; boundary=outer\r\nX-A: 1")
        .replace("--inner\r\n\r\nplain", "--inner\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\nfor all");
    let alices = sent.replace(
        "Content-Type: text/html\r\n\r\n<p>plain</p>",
        "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+R3LDvMOfZSwgQWxpY2U8L3A+",
    );
    let alices = match stored(&server, ALICE).contains("quoted-printable") {
        true => sent.replace(
            "Content-Type: text/html\r\n\r\n<p>plain</p>",
            "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>Gr=C3=BC=C3=9Fe, Alice</p>",
        ),
        false => alices,
    };
    let bobs = sent.replace(
        "Content-Type: application/x-msdownload; name=a.exe\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\nTVo=",
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\na.exe was removed",
    );
    assert_eq!(stored(&server, ALICE).trim_end(), alices);
    assert_eq!(stored(&server, BOB).trim_end(), bobs);

    // What IMAP says of parts and sizes is of the copy as it stands.
    let structure = imap(
        &server,
        BOB,
        "FETCH 1 (RFC822.SIZE BODYSTRUCTURE BODY.PEEK[3])",
    );
    assert!(structure.contains("a.exe was removed"), "{structure}");
    assert!(
        structure.contains("(\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 17 ")
            || structure
                .to_lowercase()
                .contains("\"text\" \"plain\" (\"charset\" \"utf-8\") nil nil \"7bit\" 17"),
        "{structure}"
    );
    let mut reader = Reader::open(server.imap(), BOB, PASSWORD, "INBOX");
    let size = reader.fetch(1).len();
    assert!(
        structure.contains(&format!("RFC822.SIZE {size}")),
        "{structure}"
    );

    let config = server.home.path().join("wasmilter.toml");
    let arguments = ["explain", &id, "--config", config.to_str().unwrap()];
    let output = run(&arguments, "");
    let explained = String::from_utf8_lossy(&output.stdout).into_owned();
    for expected in [
        "body: replace part 1.1 with text/plain; charset=utf-8, 7 octets in 7bit, SHA-256 ",
        "body: drop part 3, leaving \"a.exe was removed\" (for bob@example.test)",
        "body: replace part 1.2 with text/html; charset=utf-8, ",
        // The second filter sees the header as the first left it, and the body as received.
        "log info: 1\n",
        "1.1 text/plain|1.2 text/html|2.1 text/plain|2.2 application/pgp-signature|3 application/x-msdownload",
    ] {
        assert!(
            explained.contains(expected),
            "{expected:?} is not in {explained}"
        );
    }
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_new_body_is_stored_once_and_read_back() {
    let server = server(&[("a", r#"message = ["replace-long 8192"]"#)]).await;
    send(
        &server,
        "From: sender@client.test\r\nSubject: s\r\n\r\nold\r\n",
    );
    let line = "0123456789abcde\r\n";
    let expected = format!(
        "From: sender@client.test\r\nSubject: s\r\n\r\n{}",
        line.repeat(8192 * 64)
    );
    for who in [ALICE, BOB] {
        assert!(
            stored(&server, who) == expected,
            "{who} reads something else"
        );
    }
    let piece = imap(&server, BOB, "FETCH 1 (BODY.PEEK[TEXT]<8000000.34>)");
    assert!(piece.contains("0123456789abcde\r\n"), "{piece}");
    assert!(!imap(&server, BOB, "SEARCH BODY \"0123456789\"").contains("SEARCH 2"));
    let data = server.home.path().join("data");
    server.app.stop().await;
    assert_eq!(files(&data.join("blobs")), 1);
    let index = std::fs::metadata(data.join("index.sqlite")).unwrap().len();
    assert!(index < 1024 * 1024, "{index}");
}

fn files(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_with_edits_are_delivered() {
    let server = server(&[(
        "a",
        r#"message = ["parts", "replace-part 1 text/plain new", "replace-part 2 text/plain new", "drop-part 1.1", "drop-part 2.1", "drop-part 3"]"#,
    )])
    .await;
    let deep: String = (0..100)
        .map(|level| {
            format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n")
        })
        .collect();
    let mixed = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    let bodies = [
        deep,
        format!("{mixed}--b\r\n\r\none\r\n--b\r\n\r\nunclosed"),
        format!("{mixed}--b\r\n\r\none\r\n--b"),
        format!(
            "{mixed}--b\r\n--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b--"
        ),
        format!("{mixed}no boundary at all"),
        String::new(),
    ];
    for (index, body) in bodies.iter().enumerate() {
        send(&server, &format!("From: sender@client.test\r\n{body}"));
        let mut reader = Reader::open(server.imap(), ALICE, PASSWORD, "INBOX");
        let message = reader.fetch(u32::try_from(index + 1).unwrap());
        let text = String::from_utf8(message).unwrap();
        assert!(text.contains("\r\nFrom: sender@client.test\r\n"), "{text}");
        let number = index + 1;
        let fetched = imap(&server, ALICE, &format!("FETCH {number} (BODYSTRUCTURE)"));
        assert!(fetched.contains("BODYSTRUCTURE ("), "{fetched}");
    }
    server.app.stop().await;
}

/// `rewrite` with what stands in its plugin.toml as examples in force.
#[tokio::test]
async fn rewrite_removes_programs_and_puts_a_banner_on_mail_from_outside() {
    let home = tempfile::tempdir().unwrap();
    embedded::write_to(home.path()).unwrap();
    for entry in std::fs::read_dir(home.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().unwrap() != "rewrite" {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    let manifest = home.path().join("rewrite/plugin.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let banner = "# [[config.rules]]\n# when = { external = true }\n# banner = ";
    assert!(text.contains(banner) && text.contains("# blocked-attachments = "));
    let text = text
        .replace("unused = [", "# unused = [")
        .replace("# blocked-", "blocked-")
        .replace(banner, &banner.replace("# ", ""));
    std::fs::write(&manifest, text).unwrap();
    let mut config = Config::new(home.path());
    config.watch = None;
    config.grants = Granting::Everything;
    let host = Host::start(config).await.unwrap();
    let generation = host.generation();
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/rewrite/cases-parts");
    let report = kit::run_cases(
        &generation.filters[0],
        &kit::Stage::default(),
        &cases,
        false,
    )
    .await
    .unwrap();
    assert_eq!(report.cases.len(), 3);
    for case in report.cases {
        match case.end {
            CaseEnd::Passed => {}
            CaseEnd::Failed(differences) => {
                let all: String = differences.iter().map(ToString::to_string).collect();
                panic!("{}\n{all}", case.name);
            }
            other => panic!("{}: {other:?}", case.name),
        }
    }
}
