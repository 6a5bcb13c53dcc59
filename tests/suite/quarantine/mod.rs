//! The quarantine as an administrator and the recipients meet it: filters set mail aside, commands list, show, release and delete it.

mod crash;
mod damaged;
mod early;
mod expiry;
mod release;

use crate::control::ask;
use crate::support::imap::Reader;
use crate::support::process::{self, Process, Sender};
use crate::support::{self, ALICE, BOB, PASSWORD};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wasmilter::config::Config;

static GUEST: &[u8] = include_bytes!(env!("WASMILTER_TEST_GUEST"));

const MESSAGE: &str = "From: Winner <winner@lottery.example>\r\nSubject: You have won\r\nMessage-ID: <1@lottery.example>\r\n\r\nSend us your purse.\r\n";

/// A server with scripted filters, and the commands on it.
struct Rig {
    home: TempDir,
    config: Config,
    server: Option<Process>,
}

/// What a command printed, and whether it says that it was done.
struct Said {
    done: bool,
    out: String,
    error: String,
}

impl Rig {
    /// Filters by name, in this order, with their scripts.
    async fn new(filters: &[(&str, &str)], more: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("plugins")).unwrap();
        std::fs::create_dir_all(home.path().join("data")).unwrap();
        // Compiling takes long in this build; what one test compiled the others take.
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache");
        std::fs::create_dir_all(&cache).unwrap();
        std::os::unix::fs::symlink(&cache, home.path().join("data/cache")).unwrap();
        let config = support::config(
            home.path(),
            &format!("[plugins]\ndirectory = \"plugins\"\n{more}"),
        );
        support::accounts(&config).await;
        let mut rig = Self {
            home,
            config,
            server: None,
        };
        for (order, (name, script)) in filters.iter().enumerate() {
            rig.filter(name, order, script);
        }
        rig.start();
        rig
    }

    fn start(&mut self) {
        self.server = Some(Process::serve(&self.file(), 3));
    }

    fn kill(&mut self) {
        self.server.take().unwrap().kill();
    }

    fn stop(&mut self) {
        assert!(self.server.take().unwrap().terminate().success());
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("wasmilter.toml")
    }

    fn filter(&self, name: &str, order: usize, script: &str) {
        let folder = self.home.path().join("plugins").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let manifest = format!("order = {order}\n[config]\n{script}\n");
        std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
        std::fs::write(folder.join("filter.wasm"), GUEST).unwrap();
    }

    /// Takes up what has changed in the plugin directory.
    fn reload(&self) {
        let (line, _) = ask(
            &self.home.path().join("data/control.sock"),
            "POST /plugins/reload",
        );
        assert_eq!(line, "HTTP/1.1 200 OK");
    }

    fn server(&self) -> &Process {
        self.server.as_ref().unwrap()
    }

    /// The transaction's id.
    fn send(&self, recipients: &[&str], message: &str) -> String {
        let mut sender = Sender::connect(self.server().address("smtp")).unwrap();
        sender
            .command("MAIL FROM:<bounce@lottery.example>")
            .unwrap();
        for recipient in recipients {
            let code = sender.command(&format!("RCPT TO:<{recipient}>")).unwrap();
            assert_eq!(code, 250);
        }
        assert_eq!(sender.command("DATA").unwrap(), 354);
        let (code, text) = sender.exchange(format!("{message}.").as_bytes()).unwrap();
        assert_eq!(code, 250, "{text}");
        text.rsplit_once(' ').unwrap().1.to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Said {
        let file = self.file();
        let all = [arguments, &["--config", file.to_str().unwrap()]].concat();
        let output = process::run(&all, "");
        Said {
            done: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            error: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        let said = self.command(arguments);
        assert!(said.done, "{arguments:?}: {}{}", said.out, said.error);
        said.out
    }

    #[track_caller]
    fn list(&self) -> Vec<Value> {
        let json = self.done(&["quarantine", "list", "--json"]);
        serde_json::from_str(&json).unwrap()
    }

    #[track_caller]
    fn ids(&self) -> Vec<u64> {
        let entries = self.list();
        entries
            .iter()
            .map(|entry| entry["id"].as_u64().unwrap())
            .collect()
    }

    #[track_caller]
    fn mail(&self, login: &str, mailbox: &str) -> Vec<String> {
        let address = self.server().address("imap");
        let mut reader = Reader::open(address, login, PASSWORD, mailbox);
        let messages = (1..).map(|uid| reader.fetch(uid));
        messages
            .take_while(|message| !message.is_empty())
            .map(|message| String::from_utf8(message).unwrap())
            .collect()
    }
}

#[tokio::test]
async fn what_is_set_aside_is_listed_shown_and_deleted() {
    let mut rig = Rig::new(
        &[
            (
                "first",
                r#"message = ["add X-First 1", "score ODD 2.5 smells"]"#,
            ),
            ("guard", r#"message = ["quarantine looks like a lottery"]"#),
        ],
        "",
    )
    .await;
    assert_eq!(
        rig.done(&["quarantine", "list"]),
        "nothing is in quarantine\n"
    );
    let transaction = rig.send(&[ALICE, BOB], MESSAGE);
    for login in [ALICE, BOB] {
        assert!(rig.mail(login, "INBOX").is_empty());
    }
    let explained = rig.done(&["explain", &transaction]);
    assert!(
        explained.contains(&format!("<{ALICE}>: in quarantine as 1: looks like a lottery\n    wasmilter quarantine release 1\n")),
        "{explained}"
    );
    // With and without a server.
    for running in [true, false] {
        if !running {
            rig.stop();
        }
        let listed = rig.done(&["quarantine", "list"]);
        for expected in [
            "Winner <winner@",
            "alice@example.test +1",
            "You have won",
            "guard at message, score 2.5: looks like a lottery",
            "1 message, ",
        ] {
            assert!(listed.contains(expected), "{expected}: {listed}");
        }
        let entry = &rig.list()[0];
        assert_eq!(entry["transaction"], transaction);
        assert_eq!(entry["recipients"], serde_json::json!([ALICE, BOB]));
        let shown = rig.done(&["quarantine", "show", "1"]);
        for expected in [
            "Message 1, quarantined",
            "looks like a lottery",
            "2.5  ODD  smells (first)",
            "add X-First",
            "Subject: You have won",
            "quarantine release 1 --again",
        ] {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        assert_eq!(rig.done(&["quarantine", "show", "1", "--raw"]), MESSAGE);
    }
    for (search, found) in [
        (["--search", "LOTTERY"], true),
        (["--search", "postcard"], false),
        (["--recipient", "bob@"], true),
        (["--recipient", "carol"], false),
        (["--since", "1h"], true),
        (["--since", "2999-01-01"], false),
    ] {
        let listed = rig.done(&[&["quarantine", "list"], &search[..]].concat());
        assert_eq!(listed.contains("You have won"), found, "{search:?}");
    }
    let said = rig.command(&["quarantine", "release", "1"]);
    assert!(
        !said.done && said.error.contains("no server runs"),
        "{}",
        said.error
    );

    assert_eq!(rig.done(&["quarantine", "delete", "1"]), "1: deleted\n");
    assert!(rig.ids().is_empty());
    let said = rig.command(&["quarantine", "delete", "1"]);
    assert!(
        !said.done && said.error.contains("1: not deleted"),
        "{}",
        said.error
    );
    let explained = rig.done(&["explain", &transaction]);
    assert!(explained.contains("deleted at"), "{explained}");
}

#[tokio::test]
async fn a_hostile_reason_cannot_control_the_terminal() {
    let rig = Rig::new(
        &[(
            "guard",
            r#"message = ["score ODD 1 \u001b]0;owned\u0007", "quarantine \u001b[2J\u009b31m\n  9  0s  forged \u202e"]"#,
        )],
        "",
    )
    .await;
    let message = "Subject: =?utf-8?q?=1B[31m=C2=9B2J?=\r\nFrom: \x1b[1m@x\r\n\r\n\r\n";
    let transaction = rig.send(&[ALICE], message);
    for command in [
        &["quarantine", "list"][..],
        &["quarantine", "show", "1"],
        &["explain", &transaction],
        &["quarantine", "release", "1"],
    ] {
        let said = rig.done(command);
        let bad = said
            .chars()
            .find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(bad, None, "{command:?}: {said:?}");
        // A line end in a reason starts no line.
        assert!(
            !said.lines().any(|line| line.starts_with("  9  0s")),
            "{said}"
        );
    }
}

#[test]
fn bounds_of_the_quarantine_are_checked_at_their_line() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("wasmilter.toml");
    for (more, place, expected) in [
        ("keep-days = 0", "wasmilter.toml:7:13", "1 to 36500"),
        (
            "max-size = \"1 MiB\"",
            "wasmilter.toml:7:12",
            "message-size",
        ),
        ("max-size = \"much\"", "wasmilter.toml:7:12", "25 MiB"),
        ("days = 3", "wasmilter.toml:7:1", "unknown field"),
    ] {
        let text = format!(
            "hostname = \"mx.example.test\"\ndata-dir = \"data\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:0\"\n[quarantine]\n{more}\n"
        );
        std::fs::write(&file, text).unwrap();
        let output = process::run(&["check", "--config", file.to_str().unwrap()], "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2));
        assert!(
            said.contains(place) && said.contains(expected),
            "{more}: {said}"
        );
    }
}
