//! How many files and connections a server may have open.

use crate::support::config;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// The soft and the hard limit of a server that a shell starts after `ulimit`, and its log.
fn serve(home: &Path, ulimit: &str) -> (String, String, String) {
    let program = env!("CARGO_BIN_EXE_wasmilter");
    let config = home.join("wasmilter.toml");
    let script = format!(
        "{ulimit}; exec {program} serve --config {}",
        config.display()
    );
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.find(|line| line.as_ref().unwrap().starts_with("http"));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut log = String::new();
    child.stderr.unwrap().read_to_string(&mut log).unwrap();
    assert!(ready.is_some(), "{log}");
    let limits = limits.unwrap();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let mut files = files.unwrap().split_whitespace().map(str::to_owned);
    (files.next().unwrap(), files.next().unwrap(), log)
}

#[test]
fn as_many_as_the_system_lets_it() {
    let home = tempfile::tempdir().unwrap();
    config(home.path(), "[limits]\nconnections = 20\n");
    let (soft, hard, log) = serve(home.path(), "ulimit -Sn 200; ulimit -Hn 600");
    assert_eq!((soft.as_str(), hard.as_str()), ("600", "600"));
    assert!(!log.contains("open files"), "{log}");
}

#[test]
fn too_few_for_the_connections_are_warned_of() {
    let home = tempfile::tempdir().unwrap();
    config(home.path(), "[limits]\nconnections = 50\n");
    let (_, _, log) = serve(home.path(), "ulimit -n 600");
    assert!(
        log.contains("LimitNOFILE") && log.contains("wanted=650"),
        "{log}"
    );
}
