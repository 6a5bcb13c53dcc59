//! The demo as whoever tries it meets it: what it says to do works, and it leaves nothing behind.

use crate::support::{process::wasmilter, program};
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

fn start(directory: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = wasmilter()
        .arg("demo")
        .env("TMPDIR", directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// Reads up to the line that has this.
fn until(lines: &mut Lines<BufReader<ChildStdout>>, what: &str) -> String {
    let found = lines.find(|line| line.as_ref().unwrap().contains(what));
    found
        .unwrap_or_else(|| panic!("nothing of {what}"))
        .unwrap()
}

fn end(child: &mut Child, signal: &str) -> Option<i32> {
    let id = child.id().to_string();
    let sent = Command::new("kill").args([signal, &id]).status().unwrap();
    assert!(sent.success());
    child.wait().unwrap().code()
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}

/// One after the other: two that start at once could want the same ports.
#[test]
fn it_does_what_it_says_and_leaves_nothing_behind() {
    its_directory_goes_whenever_it_is_ended();
    what_it_says_to_do_works();
}

fn its_directory_goes_whenever_it_is_ended() {
    let home = tempfile::tempdir().unwrap();
    // At the last of them a new version of a plugin is compiled.
    for (signal, after) in [("-TERM", "wasmilter demo: SMTP on"), ("-INT", "seo-offer")] {
        let (mut child, mut lines) = start(home.path());
        until(&mut lines, after);
        assert!(end(&mut child, signal).is_some(), "{signal}");
        assert!(is_empty(home.path()), "{signal}");
    }
}

fn what_it_says_to_do_works() {
    let Some(_) = program("curl") else { return };
    let home = tempfile::tempdir().unwrap();
    let (mut child, mut lines) = start(home.path());
    let command = until(&mut lines, "curl --user");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(output.stdout.starts_with(b"* 1 FETCH"));
    until(&mut lines, "is target/release/wasmilter");
    assert_eq!(end(&mut child, "-HUP"), Some(0));
    assert!(is_empty(home.path()));
}
