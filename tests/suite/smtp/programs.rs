//! Clients that people use: swaks, Python's smtplib, nodemailer, and Postfix as a sender. A test passes over a program that isn't there, and says so.

use super::*;
use crate::support::{program, run};
use std::process::Command;
use wasmilter::net::Tls;

async fn server() -> Server {
    let directory = tempfile::tempdir().unwrap();
    let tls = Tls::self_signed("mx.example.test", directory.path()).unwrap();
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    Server::on(listener, directory, |config| {
        config.tls = TlsUse::StartTls(tls)
    })
    .await
}

#[tokio::test]
async fn swaks_delivers_with_and_without_tls() {
    if program("swaks").is_none() {
        return;
    }
    let server = server().await;
    let port = server.port().to_string();
    for (extra, keyword) in [
        (&[][..], "ESMTP"),
        (&["--pipeline"], "ESMTP"),
        (&["--tls"], "ESMTPS"),
    ] {
        let mut swaks = Command::new("swaks");
        swaks
            .args([
                "--server",
                "127.0.0.1",
                "--port",
                &port,
                "--helo",
                "client.test",
            ])
            .args([
                "--from",
                "sender@client.test",
                "--to",
                "alice@example.test,bob@example.test",
            ])
            .args(["--body", ".leading dot\n..\nend"])
            .args(extra);
        run(swaks).await;
        let last = server.store.delivered().await.pop().unwrap();
        assert_eq!(last.journal.session.protocol, keyword, "{extra:?}");
        assert_eq!(last.journal.envelope.recipients.len(), 2);
        let text = String::from_utf8(last.octets).unwrap();
        assert!(
            text.contains("\r\n\r\n.leading dot\r\n..\r\nend\r\n"),
            "{text}"
        );
    }
    server.finish().await;
}

#[tokio::test]
async fn python_delivers_with_and_without_tls() {
    let Some(mut python) = program("python3") else {
        return;
    };
    let server = server().await;
    let script = r#"
import smtplib, ssl, sys
from email.message import EmailMessage
message = EmailMessage()
message["Subject"] = "Grüße"
message["From"] = "sender@client.test"
message["To"] = "alice@example.test"
message.set_content("äöü\n.\n..dots\n")
trusting = ssl.create_default_context(cafile=sys.argv[2])
for tls in (False, True):
    with smtplib.SMTP("localhost", int(sys.argv[1])) as client:
        if tls:
            client.starttls(context=trusting)
        assert client.has_extn("pipelining") or client.ehlo()[0] == 250
        assert not client.send_message(message)
        try:
            client.sendmail("a@b.test", ["nobody@example.test"], b"x")
            raise SystemExit("taken for nobody")
        except smtplib.SMTPRecipientsRefused as refused:
            assert refused.recipients["nobody@example.test"][0] == 550
"#;
    let port = server.port().to_string();
    let certificate = server.directory.path().join("self-signed-certificate.pem");
    python.args(["-c", script, &port]).arg(certificate);
    run(python).await;
    let keywords: Vec<_> = server
        .store
        .delivered()
        .await
        .into_iter()
        .map(|message| message.journal.session.protocol)
        .collect();
    assert_eq!(keywords, ["ESMTP", "ESMTPS"]);
    server.finish().await;
}

/// nodemailer is found where NODE_PATH says.
#[tokio::test]
async fn nodemailer_delivers_with_and_without_tls() {
    let Some(mut node) = program("node") else {
        return;
    };
    let find = node.args(["-e", "require('nodemailer')"]).output();
    if !find.unwrap().status.success() {
        assert!(
            std::env::var_os("WASMILTER_REQUIRE_PROGRAMS").is_none(),
            "nodemailer is not installed"
        );
        eprintln!("skipped: nodemailer is not installed");
        return;
    }
    let server = server().await;
    let script = r#"
const nodemailer = require('nodemailer');
const [port, ca] = process.argv.slice(1);
(async () => {
    for (const ignoreTLS of [true, false]) {
        const transport = nodemailer.createTransport({
            host: 'localhost', port, pool: true, ignoreTLS, requireTLS: !ignoreTLS,
            tls: { ca: require('fs').readFileSync(ca) },
        });
        for (const n of [1, 2]) {
            const sent = await transport.sendMail({
                from: 'sender@client.test', to: ['alice@example.test', 'bob@example.test'],
                subject: 'Grüße', text: `äöü ${n}\n.\n..dots\n`,
                attachments: [{ filename: 'octets.bin', content: Buffer.alloc(70000, n) }],
            });
            if (sent.accepted.length != 2) throw new Error(sent.response);
        }
        const refused = await transport.sendMail({
            from: 'sender@client.test', to: 'alice@other.test', text: 'x',
        }).then(() => 0, error => error.responseCode);
        if (refused != 550) throw new Error(`taken for another domain: ${refused}`);
        transport.close();
    }
})().catch(error => { console.error(error); process.exit(1); });
"#;
    let certificate = server.directory.path().join("self-signed-certificate.pem");
    let mut node = Command::new("node");
    node.args(["-e", script, &server.port().to_string()])
        .arg(certificate);
    run(node).await;
    let keywords: Vec<_> = server
        .store
        .delivered()
        .await
        .into_iter()
        .map(|message| message.journal.session.protocol)
        .collect();
    assert_eq!(keywords, ["ESMTP", "ESMTP", "ESMTPS", "ESMTPS"]);
    server.finish().await;
}

/// A Postfix of our own, which queues and sends to the server. Stopped when dropped.
struct Postfix {
    home: tempfile::TempDir,
}

impl Postfix {
    /// None, said in one line, where it is not installed or this is not root, which Postfix must be started as.
    fn start(port: u16) -> Option<Self> {
        use std::os::unix::fs::PermissionsExt;
        program("postfix")?;
        let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        if !root {
            eprintln!("skipped: Postfix is started by root only");
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        let at = home.path().to_str().unwrap();
        // Its processes are other users'.
        std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o755)).unwrap();
        for directory in ["etc", "queue", "data"] {
            std::fs::create_dir(home.path().join(directory)).unwrap();
        }
        let data = format!("{at}/data");
        let owned = Command::new("chown").args(["postfix", &data]).status();
        assert!(owned.unwrap().success());
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {at}/queue\ndata_directory = {data}\n\
             mail_owner = postfix\nsetgid_group = postdrop\ninet_interfaces = loopback-only\ninet_protocols = ipv4\n\
             myhostname = sender.test\nmydestination =\nalias_maps =\nalias_database =\nlocal_recipient_maps =\n\
             relayhost = [127.0.0.1]:{port}\nsmtp_send_xforward_command = yes\nsmtp_tls_security_level = encrypt\n\
             maillog_file = {at}/log\nmaillog_file_prefixes = {at}\nmulti_instance_enable = no\n"
        );
        let services = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
             tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
             defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nflush unix n - n 1000? 0 flush\n\
             proxymap unix - - n - - proxymap\nsmtp unix - - n - - smtp\nerror unix - - n - - error\n\
             retry unix - - n - - error\nscache unix - - n - 1 scache\nanvil unix - - n - 1 anvil\n\
             showq unix n - n - - showq\npostlog unix-dgram n - n - 1 postlogd\n";
        std::fs::write(home.path().join("etc/main.cf"), main).unwrap();
        std::fs::write(home.path().join("etc/master.cf"), services).unwrap();
        let postfix = Self { home };
        assert!(postfix.command("start").status().unwrap().success());
        Some(postfix)
    }

    fn etc(&self) -> PathBuf {
        self.home.path().join("etc")
    }

    fn command(&self, word: &str) -> Command {
        let mut command = Command::new("postfix");
        command.arg("-c").arg(self.etc()).arg(word);
        command
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // It may not have come up.
        let _ = self.command("stop").output();
    }
}

#[tokio::test]
async fn postfix_sends_to_us_and_tells_of_the_client() {
    let server = super::tls::server(TlsUse::StartTls, |config| {
        config.xforward = wasmilter::net::Networks::loopback();
    })
    .await;
    let Some(postfix) = Postfix::start(server.port()) else {
        return;
    };
    let script = "printf 'Subject: by Postfix\\n\\n.dot\\nend\\n' | sendmail -i -C \"$1\" -f sender@client.test alice@example.test bob@example.test nobody@example.test";
    let mut sendmail = Command::new("sh");
    sendmail.args(["-c", script, "sh"]).arg(postfix.etc());
    run(sendmail).await;
    let mut waited = 0;
    while !postfix.log().contains("status=bounced") || server.store.delivered().await.is_empty() {
        waited += 1;
        assert!(waited < 600, "{}", postfix.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let message = server.store.only().await;
    let session = message.journal.session;
    assert_eq!(
        (session.protocol.as_str(), session.server_name.as_str()),
        ("ESMTPS", "mx.example.test")
    );
    // Postfix had it from its own machine.
    assert_eq!(session.client_address, Some([127, 0, 0, 1].into()));
    let via = session.via.unwrap();
    assert_eq!(
        (via.helo.as_str(), via.address),
        ("sender.test", Some([127, 0, 0, 1].into()))
    );
    assert_eq!(message.journal.envelope.recipients.len(), 2);
    let text = String::from_utf8(message.rendered).unwrap();
    assert!(text.contains("\r\n\r\n.dot\r\nend\r\n"), "{text}");
    assert!(
        text.contains("Received: from sender.test (unknown [127.0.0.1])\r\n"),
        "{text}"
    );
    assert!(
        postfix.log().contains("550 5.1.1 <nobody@example.test>"),
        "{}",
        postfix.log()
    );
    drop(postfix);
    server.finish().await;
}
