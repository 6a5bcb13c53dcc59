//! The commands as an administrator meets them: what they print and with which status they end.

use crate::support::process::{Process, Sender, run};
use crate::support::{self, ALICE, BOB};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use wasmilter::mail::Address;
use wasmilter::store::{self, SqliteStore, Store};

fn config(home: &Path, text: &str) -> String {
    let path = home.join("wasmilter.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `serve` and `check` on a wrong configuration: both must name the place and the remedy, with status 2.
fn refused(text: &str, commands: &[&str], expected: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let file = config(home.path(), text);
    for command in commands {
        let output = run(&[command, "--config", &file], "");
        assert_eq!(
            output.status.code(),
            Some(2),
            "{command}: {}",
            stderr(&output)
        );
        for expected in expected {
            assert!(
                stderr(&output).contains(expected),
                "{command}: {}",
                stderr(&output)
            );
        }
        assert!(stdout(&output).is_empty(), "nothing is half-started");
    }
}

const HEAD: &str = "hostname = \"mx.example.test\"\ndata-dir = \"data\"\n";

#[test]
fn a_wrong_configuration_is_refused_at_its_line() {
    let both = ["serve", "check"];
    refused(
        "hostname = 3\n",
        &both,
        &["wasmilter.toml:1:12", "invalid type"],
    );
    refused(
        &format!("{HEAD}colour = \"red\"\n"),
        &both,
        &[
            "wasmilter.toml:3:1",
            "unknown field `colour`",
            "docs/administrator.md",
        ],
    );
    refused(
        &format!(
            "{HEAD}[[listener]]\nprotocol = \"imap\"\naddress = \"127.0.0.1:0\"\n[tls]\ncertificate = \"none.pem\"\nkey = \"none.key\"\n"
        ),
        &both,
        &["wasmilter.toml:7:15", "none.pem", "No such file"],
    );
    refused(
        &format!("{HEAD}[[listener]]\nprotocol = \"submission\"\naddress = \"127.0.0.1:0\"\n"),
        &both,
        &["wasmilter.toml:4:12", "not there yet"],
    );
}

#[test]
fn a_port_in_use_is_named_with_its_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    refused(
        &format!("{HEAD}[[listener]]\nprotocol = \"smtp\"\naddress = \"{address}\"\n"),
        &["serve"],
        &[
            "wasmilter.toml:5:11",
            &address.to_string(),
            "another program",
        ],
    );
}

#[test]
fn a_missing_configuration_is_named() {
    let output = run(&["check", "--config", "/nonexistent/w.toml"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/nonexistent/w.toml"));
}

#[test]
fn accounts_are_managed_beside_a_running_server() {
    let home = tempfile::tempdir().unwrap();
    support::config(home.path(), "");
    let file = home.path().join("wasmilter.toml");
    let server = Process::serve(&file, 3);
    let file = file.to_str().unwrap();
    let account = |what: &[&str], input: &str| {
        let arguments = [&["account"], what, &["--config", file]].concat();
        run(&arguments, input)
    };
    let added = account(&["add", ALICE], "secret\n");
    assert!(added.status.success(), "{}", stderr(&added));
    let again = account(&["add", ALICE], "secret\n");
    assert_eq!(again.status.code(), Some(1));
    assert!(
        stderr(&again).contains("already exists"),
        "{}",
        stderr(&again)
    );
    let elsewhere = account(&["add", "alice@elsewhere.test"], "secret\n");
    assert!(
        stderr(&elsewhere).contains("`domains`"),
        "{}",
        stderr(&elsewhere)
    );
    let empty = account(&["add", "bob@example.test"], "");
    assert!(
        stderr(&empty).contains("standard input"),
        "{}",
        stderr(&empty)
    );
    assert_eq!(stdout(&account(&["list"], "")), format!("{ALICE}\n"));

    let mut sender = support::process::Sender::connect(server.address("smtp")).unwrap();
    assert_eq!(
        sender
            .send(ALICE, "Message-ID: <1@x>\r\nSubject: s\r\n\r\nb")
            .unwrap(),
        250
    );
    assert!(account(&["passwd", ALICE], "other\n").status.success());
    let explained = run(&["explain", "<1@x>", "--config", file], "");
    assert!(
        stdout(&explained).contains("filed into INBOX (UID 1)"),
        "{}",
        stderr(&explained)
    );
    let json = run(&["explain", "1@x", "--json", "--config", file], "");
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        json["dispositions"][0]["disposition"]["filed"]["mailbox"],
        "INBOX"
    );
    let unknown = run(&["explain", "nothing", "--config", file], "");
    assert_eq!(unknown.status.code(), Some(1));

    assert!(account(&["add", BOB], "secret\n").status.success());
    assert!(account(&["remove", ALICE], "").status.success());
    assert_eq!(sender.send(ALICE, "Subject: s\r\n\r\nb").unwrap(), 550);
    assert!(server.terminate().success());
}

#[test]
fn one_data_directory_has_one_server() {
    let home = tempfile::tempdir().unwrap();
    support::config(home.path(), "");
    let file = home.path().join("wasmilter.toml");
    let server = Process::serve(&file, 3);
    let second = run(&["serve", "--config", file.to_str().unwrap()], "");
    assert_eq!(second.status.code(), Some(2));
    assert!(stderr(&second).contains("data"), "{}", stderr(&second));
    assert!(server.terminate().success());
}

/// What is not logged is waited for all the same.
#[test]
fn a_server_that_logs_little_runs_until_it_is_told_to_stop() {
    let home = tempfile::tempdir().unwrap();
    support::config(home.path(), "");
    let mut command = crate::support::process::wasmilter();
    command
        .args(["serve", "--config"])
        .arg(home.path().join("wasmilter.toml"))
        .env("WASMILTER_LOG", "error");
    let server = Process::start(command, 3);
    let mut client = Sender::connect(server.address("smtp")).unwrap();
    for _ in 0..50 {
        assert_eq!(client.command("NOOP").unwrap(), 250);
    }
    assert!(server.terminate().success());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = crate::support::process::wasmilter()
        .args(["plugin", "inspect", env!("WASMILTER_TEST_GUEST")])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(stderr(&output), "");
}

#[test]
fn what_keeps_a_listener_from_its_address_has_a_remedy() {
    for (address, remedy) in [
        ("unix:/nonexistent/w.sock", "mkdir -p /nonexistent"),
        ("192.0.2.1:2525", "an address of this machine"),
        ("unix:/dev/null", "remove it, or choose another path"),
    ] {
        let listener = format!("[[listener]]\nprotocol = \"lmtp\"\naddress = \"{address}\"\n");
        let expected = ["wasmilter.toml:5:11", remedy];
        refused(&format!("{HEAD}{listener}"), &["serve"], &expected);
    }
}

#[test]
fn a_mistyped_data_directory_is_no_empty_store() {
    let home = tempfile::tempdir().unwrap();
    support::config(home.path(), "");
    let file = home.path().join("wasmilter.toml");
    for command in [
        &["account", "list"][..],
        &["account", "passwd", ALICE],
        &["account", "remove", ALICE],
        &["restored"],
        &["explain", "1"],
        &["quarantine", "list"],
        &["plugin", "diff", "rewrite"],
    ] {
        let arguments = [command, &["--config", file.to_str().unwrap()]].concat();
        let output = run(&arguments, "");
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let said = stderr(&output);
        assert!(said.contains("is data-dir right?"), "{command:?}: {said}");
    }
    assert!(!home.path().join("data").exists());
}

/// A client that knows UIDs of after the backup would take new messages for those.
#[tokio::test]
async fn mailboxes_that_come_from_a_backup_have_another_uidvalidity() {
    let home = tempfile::tempdir().unwrap();
    support::config(home.path(), "");
    let file = home.path().join("wasmilter.toml");
    let say = |words: &[&str], input: &str| {
        let arguments = [words, &["--config", file.to_str().unwrap()]].concat();
        run(&arguments, input)
    };
    assert!(say(&["account", "add", ALICE], "secret\n").status.success());
    let (data, backup) = (home.path().join("data"), home.path().join("backup"));
    let copied = Command::new("cp").arg("-a").args([&data, &backup]).status();
    assert!(copied.unwrap().success());
    let open = || SqliteStore::open_exclusive(store::Config::new(&data)).unwrap();
    let known = async |store: &SqliteStore| {
        let alice = Address::parse(ALICE).unwrap();
        let alice = store.account(&alice).await.unwrap().unwrap();
        let mailboxes = store.mailboxes(alice.id).await.unwrap();
        let all = mailboxes.iter().map(|mailbox| mailbox.uid_validity);
        all.collect::<Vec<_>>()
    };
    let server = open();
    let before = known(&server).await;
    let refused = say(&["restored"], "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("stop it"), "{refused:?}");
    drop(server);

    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&backup, &data).unwrap();
    assert!(say(&["restored"], "").status.success());
    let newest = before.iter().max().unwrap();
    assert!(known(&open()).await.iter().all(|after| after > newest));
}

#[test]
fn a_log_level_that_makes_no_sense_is_refused() {
    let home = tempfile::tempdir().unwrap();
    support::config(home.path(), "");
    let output = crate::support::process::wasmilter()
        .args(["serve", "--config"])
        .arg(home.path().join("wasmilter.toml"))
        .env("WASMILTER_LOG", "info,wasmilter=loud")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("WASMILTER_LOG"),
        "{}",
        stderr(&output)
    );
    assert!(!home.path().join("data").exists(), "nothing was started");
}
