//! Final delivery by LMTP into a real Dovecot, on TCP and on a local socket, with the lines of docs/content-filter.md.

use super::*;
use crate::support::{self, free};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Child, Stdio};

struct Dovecot {
    directory: tempfile::TempDir,
    tcp: SocketAddr,
    running: Child,
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its processes too.
        let id = self.running.id().to_string();
        let _ = std::process::Command::new("kill").arg(id).status();
        let _ = self.running.wait();
    }
}

impl Dovecot {
    /// None, said in one line, where there is none or this is not root.
    async fn start() -> Option<Self> {
        let mut command = support::program("dovecot")?;
        if !support::is_root("Dovecot") {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        std::fs::set_permissions(home, PermissionsExt::from_mode(0o755)).unwrap();
        let nobody: wasmilter::net::Owner = "nobody:".parse().unwrap();
        std::fs::create_dir(home.join("mail")).unwrap();
        chown(home.join("mail"), nobody.user, None).unwrap();
        let (path, tcp, id) = (home.display(), free(), nobody.user.unwrap());
        let users =
            [ALICE, BOB].map(|user| format!("{user}:{{plain}}x:{id}:{id}::{path}/mail/{user}::\n"));
        std::fs::write(home.join("users"), users.concat()).unwrap();
        let port = tcp.port();
        let config = format!(
            "base_dir = {path}/run\nstate_dir = {path}/state\nlog_path = {path}/log\n\
             protocols = lmtp\nlisten = 127.0.0.1\nssl = no\nfirst_valid_uid = 1\n\
             mail_location = maildir:{path}/mail/%u/Maildir\n\
             passdb {{\n driver = passwd-file\n args = {path}/users\n}}\n\
             userdb {{\n driver = passwd-file\n args = {path}/users\n}}\n\
             service lmtp {{\n inet_listener lmtp {{\n  address = 127.0.0.1\n  port = {port}\n }}\n unix_listener {path}/lmtp {{\n  mode = 0666\n }}\n}}\n"
        );
        let file = home.join("dovecot.conf");
        std::fs::write(&file, config).unwrap();
        let said = std::fs::File::create(home.join("said")).unwrap();
        let running = command
            .args(["-F", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let dovecot = Self {
            directory,
            tcp,
            running,
        };
        let mut tries = 0;
        while std::net::TcpStream::connect(tcp).is_err() {
            tries += 1;
            assert!(tries < 1000, "Dovecot did not start:\n{}", dovecot.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(dovecot)
    }

    fn log(&self) -> String {
        let read =
            |name| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        read("said") + &read("log")
    }

    fn mail(&self, user: &str) -> Vec<String> {
        let folder: PathBuf = self
            .directory
            .path()
            .join("mail")
            .join(user)
            .join("Maildir/new");
        let Ok(entries) = std::fs::read_dir(folder) else {
            return Vec::new();
        };
        let read = |entry: std::io::Result<std::fs::DirEntry>| {
            String::from_utf8(std::fs::read(entry.unwrap().path()).unwrap()).unwrap()
        };
        entries.map(read).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_recipient_has_its_copy_and_its_reply() {
    let Some(dovecot) = Dovecot::start().await else {
        return;
    };
    let socket = format!("unix:{}", dovecot.directory.path().join("lmtp").display());
    for (round, address) in [dovecot.tcp.to_string(), socket].iter().enumerate() {
        let config = config("lmtp", dovecot.tcp, "").replace(
            &format!("protocol = \"lmtp\"\naddress = \"{}\"\n", dovecot.tcp),
            &format!("protocol = \"lmtp\"\naddress = \"{address}\"\n"),
        );
        let relay = Relay::with(&config, "relay = [\"for bob@example.test add X-Bob 1\"]").await;
        let mut client = relay.client().await;
        client
            .dialogue(&[
                ("MAIL FROM:<a@client.test> BODY=8BITMIME", "250"),
                ("RCPT TO:<alice@example.test>", "250"),
                // Dovecot's refusal.
                ("RCPT TO:<nobody@example.test>", "550 5.1.1"),
                ("RCPT TO:<bob@example.test>", "250"),
                ("DATA", "354"),
            ])
            .await;
        client
            .write(stuffed("Subject: \u{fc}\r\n\r\n.dot\r\n\u{e4}\r\n").as_bytes())
            .await;
        for user in [ALICE, BOB] {
            let reply = soon(client.reply()).await;
            assert!(
                reply.starts_with("250 2.0.0") && reply.contains("Saved"),
                "{user}: {reply}\n{}",
                dovecot.log()
            );
        }
        for (user, own) in [(ALICE, false), (BOB, true)] {
            let mail = dovecot.mail(user);
            assert_eq!(mail.len(), round + 1, "{}", dovecot.log());
            for message in mail {
                assert!(message.ends_with("\n\n.dot\n\u{e4}\n"), "{message}");
                assert_eq!(message.contains("X-Bob: 1\n"), own, "{message}");
                assert_eq!(message.matches("(wasmilter)").count(), 1);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_arrives_as_it_was() {
    let Some(dovecot) = Dovecot::start().await else {
        return;
    };
    let config =
        config("lmtp", dovecot.tcp, "").replacen("protocol = \"lmtp\"", "protocol = \"smtp\"", 1);
    let relay = Relay::with(&config, "").await;
    let large = format!(
        "Subject: large\r\n\r\n{}",
        ".0123456789abcdef\r\n".repeat(200_000)
    );
    let reply = soon(relay.send(&[ALICE], &large)).await;
    assert!(reply.starts_with("250 2.0.0"), "{reply}");
    let mail = dovecot.mail(ALICE).remove(0);
    assert!(
        mail.ends_with(&large.replace("\r\n", "\n")[16..]),
        "{} octets",
        mail.len()
    );
}

/// Dovecot offers no SMTPUTF8.
#[tokio::test(flavor = "multi_thread")]
async fn what_asked_for_smtputf8_and_does_without_it_arrives() {
    let Some(dovecot) = Dovecot::start().await else {
        return;
    };
    let relay = Relay::start("lmtp", dovecot.tcp, "", "").await;
    let mut client = relay.client().await;
    client
        .dialogue(&[
            ("MAIL FROM:<a@client.test> BODY=8BITMIME SMTPUTF8", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.write(stuffed(MESSAGE).as_bytes()).await;
    let reply = soon(client.reply()).await;
    assert!(reply.starts_with("250 2.0.0"), "{reply}\n{}", dovecot.log());
    assert_eq!(dovecot.mail(ALICE).len(), 1);
}
