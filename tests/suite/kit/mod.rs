//! The kit as an author of filters meets it: from nothing to a filter at work, and what is said when something is missing.

mod escapes;
mod many;
mod modules;
mod recordings;
mod replay;

use crate::support::process::{Process, Sender, run, wasmilter};
use crate::support::{self, ALICE, program};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use wasmilter::plugin::embedded::EmbeddedPlugin;

/// `tests/guest`, which does what its configuration says.
static GUEST: &[u8] = include_bytes!(env!("WASMILTER_TEST_GUEST"));

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command of `wasmilter plugin`; what it said goes to the test's own output if it ends otherwise than expected.
fn plugin(arguments: &[&str], code: i32) -> Output {
    let output = run(&[&["plugin"], arguments].concat(), "");
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {}{}",
        stdout(&output),
        stderr(&output)
    );
    output
}

fn said(output: &Output, expected: &[&str]) {
    let all = stdout(output) + &stderr(output);
    for expected in expected {
        assert!(all.contains(expected), "{expected:?} is not in:\n{all}");
    }
}

/// A plugin's folder with the scripted guest.
fn scripted(home: &Path, script: &str) -> PathBuf {
    let folder = home.join("scripted");
    fs::create_dir_all(folder.join("cases")).unwrap();
    fs::write(folder.join("scripted.wasm"), GUEST).unwrap();
    fs::write(folder.join("plugin.toml"), format!("[config]\n{script}\n")).unwrap();
    folder
}

fn case(folder: &Path, name: &str, expect: &str) {
    let cases = folder.join("cases");
    let message = "From: bob@example.org\nTo: alice@example.test\nSubject: hello\n\nhello\n";
    fs::write(cases.join(format!("{name}.eml")), message).unwrap();
    let text = format!(
        "about = \"a case\"\n\n[envelope]\nsender = \"bob@example.org\"\nrecipients = [\"alice@example.test\"]\n\n{expect}"
    );
    fs::write(cases.join(format!("{name}.toml")), text).unwrap();
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn inspect_reads_the_asks_off_the_file() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("folders");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("folders.wasm");
    let folders = EmbeddedPlugin::named("folders").unwrap();
    fs::write(&file, folders.bytes).unwrap();
    let text = plugin(&["inspect", path(&file)], 0);
    said(
        &text,
        &[
            "contract  0.1.1 (served: 0.1.x)",
            "asked at  on-deliver on-load",
            "filing",
            "instances fresh for each transaction",
            "    wasmilter:filter/on-deliver@0.1.1",
        ],
    );
    let json = plugin(&["inspect", path(&file), "--json"], 0);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["size"], folders.bytes.len());
    assert_eq!(json["contract"], serde_json::json!(["0.1.1"]));
    assert_eq!(json["digest"].as_str().unwrap().len(), 64);
    let asks = json["asks"].as_array().unwrap();
    assert!(asks.contains(&"filing".into()) && !asks.contains(&"types".into()));

    fs::write(folder.join("plugin.toml"), folders.manifest).unwrap();
    said(
        &plugin(&["inspect", path(&folder)], 0),
        &["asked at  on-deliver on-load", "instances warm"],
    );
    fs::write(&file, b"\0asm\x01\0\0\0").unwrap();
    said(
        &plugin(&["inspect", path(&file)], 1),
        &["folders.wasm", "core WASM module", "wasm32-wasip2"],
    );
    fs::remove_file(&file).unwrap();
    said(
        &plugin(&["inspect", path(&file)], 1),
        &["folders.wasm", "No such file"],
    );
}

#[test]
fn check_says_what_to_change() {
    let home = tempfile::tempdir().unwrap();
    let folder = scripted(home.path(), "");
    said(
        &plugin(&["check", path(&folder)], 0),
        &["scripted", "active", "a server loads it"],
    );
    said(
        &plugin(&["check", path(&folder.join("scripted.wasm"))], 0),
        &["a server loads it"],
    );
    fs::write(folder.join("plugin.toml"), "order = 1\ncolour = 2\n").unwrap();
    said(
        &plugin(&["check", path(&folder)], 1),
        &["plugin.toml: line 2, column 1: unknown field `colour`"],
    );
    // Contract, hooks: what the host says of a component reaches the author.
    let mut future = GUEST.to_vec();
    let version = b"wasmilter:filter/on-message@0.1.1";
    let places: Vec<usize> = (0..future.len() - version.len())
        .filter(|at| future[*at..].starts_with(version))
        .collect();
    for at in places {
        future[at + version.len() - 3] = b'9';
    }
    fs::write(folder.join("plugin.toml"), "").unwrap();
    fs::write(folder.join("scripted.wasm"), future).unwrap();
    said(
        &plugin(&["check", path(&folder)], 1),
        &["wasmilter:filter@0.9.1", "build it with the SDK"],
    );
    scripted(home.path(), "load = [\"reject 550 5 no words given\"]");
    said(
        &plugin(&["check", path(&folder)], 1),
        &["on-load says", "no words given"],
    );
    fs::write(folder.join("other.wasm"), GUEST).unwrap();
    said(&plugin(&["check", path(&folder)], 1), &["2 .wasm files"]);
    let empty = tempfile::tempdir().unwrap();
    said(
        &plugin(&["check", path(empty.path())], 1),
        &["it is not a plugin's folder"],
    );
}

#[test]
fn cases_pass_fail_and_are_blessed() {
    let home = tempfile::tempdir().unwrap();
    let folder = scripted(
        home.path(),
        "message = [\"score CASINO 4 a reason\", \"add X-A 1\"]",
    );
    case(
        &folder,
        "good",
        "[expect]\nsymbols = [\"CASINO\"]\nscore-at-least = 4.0\nheader-added = { X-A = \"1\" }\n",
    );
    let good = plugin(&["test", path(&folder)], 0);
    assert_eq!(stdout(&good), "ok good: a case\nscripted: 1 passed\n");

    case(
        &folder,
        "bad",
        "[expect]\nverdict = \"reject\"\nsymbols = [\"LOTTERY\"]\nheader-added = { X-A = \"2\" }\n\n[given]\nEARLIER = 1.0\n",
    );
    let junit = home.path().join("report.xml");
    let bad = plugin(&["test", path(&folder), "--junit", path(&junit)], 1);
    assert_eq!(
        stdout(&bad),
        "FAILED bad: a case\n    verdict\n      - reject\n      + continue\n    symbols\n      - LOTTERY\n      + CASINO\n    \
         header-added\n      - X-A: 2\n      + X-A: 1\n    gave CASINO 4.0: a reason\nok good: a case\nscripted: 1 passed, 1 failed\n\
         (- expected, + found; --bless makes what was found the expectation)\n"
    );
    let xml = fs::read_to_string(&junit).unwrap();
    assert!(
        xml.contains("tests=\"2\" failures=\"1\" errors=\"0\""),
        "{xml}"
    );
    assert!(
        xml.contains("differs in verdict, symbols, header-added"),
        "{xml}"
    );

    // A message alone: what is expected of it is written.
    let message = folder.join("cases/bad.eml");
    fs::copy(&message, folder.join("cases/new.eml")).unwrap();
    said(
        &plugin(&["test", path(&folder)], 1),
        &["BROKEN new", "there is no new.toml beside it", "--bless"],
    );
    let before = fs::read_to_string(folder.join("cases/good.toml")).unwrap();
    said(
        &plugin(&["test", path(&folder), "--bless"], 0),
        &["scripted: 1 passed, 2 rewritten"],
    );
    let after = fs::read_to_string(folder.join("cases/good.toml")).unwrap();
    assert_eq!(before, after, "what holds is left as it is");
    let blessed = fs::read_to_string(folder.join("cases/bad.toml")).unwrap();
    assert!(
        blessed.ends_with("[expect]\nsymbols = [\"CASINO\"]\nheader-added = { \"X-A\" = \"1\" }\n\n[given]\nEARLIER = 1.0\n"),
        "{blessed}"
    );
    said(
        &plugin(&["test", path(&folder)], 0),
        &["scripted: 3 passed\n"],
    );
}

#[test]
fn edits_of_the_body_are_shown_and_expected() {
    let home = tempfile::tempdir().unwrap();
    let folder = scripted(
        home.path(),
        "message = [\"replace-part 1 text/html <p>new</p>\"]",
    );
    case(
        &folder,
        "body",
        "[expect]\nheader-added = { Content-Type = \"text/html; charset=utf-8\", Content-Transfer-Encoding = \"7bit\", MIME-Version = \"1.0\" }\n\
         body-edits = [\"replace-part 1 text/html\"]\nbody-contains = [\"<p>new\"]\nbody-lacks = [\"hello\"]\n\
         body-contains-for = { \"alice@example.test\" = [\"new\"] }\nparts = [\"text/html\"]\n",
    );
    plugin(&["test", path(&folder)], 0);
    case(
        &folder,
        "body",
        "[expect]\nbody-contains = [\"hello\"]\nparts = [\"text/plain\"]\n",
    );
    said(
        &plugin(&["test", path(&folder)], 1),
        &[
            "body-edits\n      + replace-part 1 text/html",
            "body-contains\n      - hello",
            "parts\n      - text/plain\n      + text/html",
        ],
    );
    plugin(&["test", path(&folder), "--bless"], 0);
    plugin(&["test", path(&folder)], 0);
    let message = folder.join("cases/body.eml");
    said(
        &plugin(&["run", path(&folder), path(&message)], 0),
        &[
            "body: replace part 1 with text/html; charset=utf-8, 10 octets in 7bit",
            "Body, received (-) and as the plugin left it for everybody (+)",
            "-hello",
            "+<p>new</p>",
        ],
    );
}

#[test]
fn a_case_covers_every_hook_and_each_recipient() {
    let home = tempfile::tempdir().unwrap();
    let folder = scripted(home.path(), "rcpt = [\"reject 550 5 not here\"]");
    let expect = "[expect]\nrecipients = { \"alice@example.test\" = \"reject\" }\n";
    case(&folder, "rcpt", expect);
    plugin(&["test", path(&folder)], 0);
    scripted(home.path(), "connect = [\"reject 550 5 go away\"]");
    said(
        &plugin(&["test", path(&folder)], 1),
        &["- continue", "+ reject", "- alice@example.test: reject"],
    );
    case(
        &folder,
        "rcpt",
        "[expect]\nverdict = \"reject\"\nreply = \"550 5.7.1 go away\"\n",
    );
    plugin(&["test", path(&folder)], 0);
    // A filter that fails fails its case, whatever the verdict, and is not blessed.
    scripted(home.path(), "message = [\"panic now\"]");
    case(&folder, "rcpt", "[expect]\nverdict = \"tempfail\"\n");
    let failed = plugin(&["test", path(&folder), "--bless"], 1);
    said(&failed, &["+ at message: trap", "now"]);
}

#[test]
fn a_case_covers_tags_and_the_envelope() {
    let home = tempfile::tempdir().unwrap();
    let folder = scripted(
        home.path(),
        r#"helo = ["tag seen.helo yes"]
        mail = ["tag seen.mail yes", "sender bounces@example.test"]
        message = ["add-recipient carol@example.test", "file A"]
        deliver = ["for carol@example.test flag $Copy"]"#,
    );
    case(
        &folder,
        "one",
        r#"[expect]
sender = "bounces@example.test"
recipients-added = ["carol@example.test"]
tags = { "seen.helo" = "yes", "seen.mail" = "yes" }
mailbox = { "alice@example.test" = "A", "carol@example.test" = "A" }
flags = { "carol@example.test" = ["$Copy"] }
"#,
    );
    said(&plugin(&["test", path(&folder)], 0), &["1 passed"]);
    case(&folder, "one", "[expect]\ntags = {}\n");
    let failed = plugin(&["test", path(&folder)], 1);
    said(
        &failed,
        &[
            "sender\n      + bounces@example.test",
            "recipients-added\n      + carol@example.test",
            "tags\n      + seen.helo = \"yes\"",
        ],
    );
    plugin(&["test", path(&folder), "--bless"], 0);
    said(&plugin(&["test", path(&folder)], 0), &["1 passed"]);
}

#[test]
fn a_malformed_case_is_named_with_its_line() {
    let home = tempfile::tempdir().unwrap();
    let folder = scripted(home.path(), "");
    said(
        &plugin(&["test", path(&folder)], 1),
        &["has no cases", "NAME.eml"],
    );
    said(
        &plugin(&["test", path(&folder.join("scripted.wasm"))], 1),
        &["is not a folder"],
    );
    said(
        &plugin(&["test", path(&home.path().join("none"))], 1),
        &["none is not there", "wasmilter plugin new"],
    );
    case(&folder, "odd", "[expect]\nverdict = \"rejct\"\n");
    fs::write(folder.join("cases/alone.toml"), "").unwrap();
    let junit = home.path().join("report.xml");
    said(
        &plugin(&["test", path(&folder), "--junit", path(&junit)], 1),
        &[
            "cases/odd.toml:8:11: unknown variant `rejct`",
            "there is no alone.eml beside it",
            "2 could not be run",
        ],
    );
    let xml = fs::read_to_string(&junit).unwrap();
    assert!(xml.contains("errors=\"2\""), "{xml}");
}

#[test]
fn what_the_builder_lacks_is_named_with_its_remedy() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("mine");
    said(
        &plugin(&["build", path(&folder)], 1),
        &["there is no folder"],
    );
    fs::create_dir(&folder).unwrap();
    said(
        &plugin(&["build", path(&folder)], 1),
        &["has no Cargo.toml", "wasmilter plugin new"],
    );
    fs::write(folder.join("Cargo.toml"), "[package]\nname = \"mine\"\n").unwrap();
    let bare = |path: &Path| {
        let mut command = wasmilter();
        command.args(["plugin", "build", folder.to_str().unwrap()]);
        command.env("PATH", path).output().unwrap()
    };
    let tools = home.path().join("tools");
    fs::create_dir(&tools).unwrap();
    let none = bare(&tools);
    assert_eq!(none.status.code(), Some(1));
    said(&none, &["cargo is not there", "https://rustup.rs"]);
    // Tools that have no such target.
    for (tool, script) in [
        ("cargo", "exit 0"),
        ("rustc", "echo /nonexistent/lib"),
        ("rustup", "exit 1"),
    ] {
        let tool = tools.join(tool);
        fs::write(&tool, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&tool, mode).unwrap();
    }
    let untargeted = bare(&tools);
    assert_eq!(untargeted.status.code(), Some(1));
    said(
        &untargeted,
        &["no target wasm32-wasip2", "rustup target add wasm32-wasip2"],
    );
    said(&plugin(&["new", path(&folder)], 1), &["is there already"]);
}

/// Whether a filter can be compiled here.
fn can_compile() -> bool {
    let Some(mut cargo) = program("cargo") else {
        return false;
    };
    let installed = cargo.arg("--version").output();
    let installed = installed.is_ok_and(|output| output.status.success());
    let libraries = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", "wasm32-wasip2"])
        .output();
    let target = libraries
        .is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists());
    if !(installed && target) {
        eprintln!("skipped: no cargo with the target wasm32-wasip2");
    }
    installed && target
}

#[test]
fn from_nothing_to_a_filter_at_work() {
    if !can_compile() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("no-casino");
    plugin(&["new", path(&folder), "--lang", "rust"], 0);
    // The versions that are here already, and compiled once for all runs of this test.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let kit = |command: &str| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kit");
        let output = wasmilter()
            .args(["plugin", command, path(&folder)])
            .env("CARGO_TARGET_DIR", target)
            .output()
            .unwrap();
        let text = stdout(&output) + &stderr(&output);
        assert!(output.status.success(), "{command}: {text}");
        text
    };
    let built = kit("build");
    assert!(
        built.contains("no-casino.wasm") && built.contains("a server loads it"),
        "{built}"
    );
    let tested = kit("test");
    assert!(tested.contains("no-casino: 2 passed"), "{tested}");

    // Into the directory of a running server: its next messages meet it.
    fs::create_dir(home.path().join("plugins")).unwrap();
    support::config(
        home.path(),
        "[plugins]\ndirectory = \"plugins\"\n[policy]\njunk = 3.0\n",
    );
    let config = home.path().join("wasmilter.toml");
    let installed = home.path().join("plugins/no-casino");
    let server = Process::serve(&config, 3);
    let added = run(
        &["account", "add", ALICE, "--config", path(&config)],
        "secret\n",
    );
    assert!(added.status.success(), "{}", stderr(&added));
    fs::create_dir(&installed).unwrap();
    for file in ["plugin.toml", "no-casino.wasm"] {
        fs::copy(folder.join(file), installed.join(file)).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let list = run(&["plugin", "list", "--config", path(&config)], "");
        if stdout(&list).contains("no-casino 0.1.0  active") {
            break;
        }
        assert!(Instant::now() < deadline, "{}", stdout(&list));
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut sender = Sender::connect(server.address("smtp")).unwrap();
    let message = "Message-ID: <1@x>\r\nSubject: a casino\r\n\r\nhello";
    assert_eq!(sender.send(ALICE, message).unwrap(), 250);
    let explained = run(&["explain", "<1@x>", "--config", path(&config)], "");
    said(
        &explained,
        &["CASINO", "the subject names a casino", "Junk"],
    );
    assert!(server.terminate().success());
}
