//! What a hostile plugin and a hostile message say to who looks at them: nothing of it controls the terminal or passes for a line of ours.

use super::*;

const HOSTILE: &str = "\u{1b}[2J\u{1b}[31mred\u{9b}1m\r\n\u{202e}forged";

/// As a string of TOML; the guest takes `\n` for a line end.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '\r' => String::new(),
        '\n' => "\\\\n".to_owned(),
        c if c.is_ascii_graphic() || c == ' ' => c.to_string(),
        c => format!("\\u{:04x}", u32::from(c)),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

fn harmless(what: &str, output: &Output) {
    let controls = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    for text in [stdout(output), stderr(output)] {
        assert!(!text.contains(controls), "{what}: {text:?}");
        let mut lines = text.lines();
        assert!(
            lines.all(|line| !line.trim_start_matches('\u{fffd}').starts_with("forged")),
            "{what}: {text}"
        );
        assert!(text.lines().all(|line| line.len() < 5000), "{what}");
    }
    let all = stdout(output) + &stderr(output);
    assert!(all.contains("forged"), "{what} does not say it: {all}");
}

#[test]
fn run_and_test_show_what_is_said_and_no_more() {
    let home = tempfile::tempdir().unwrap();
    let steps = [
        "score X 1 {}",
        "log {}",
        "print {}",
        "add X-A {}",
        "tag a {}",
        "count {} 1",
        "kv get {}",
        "dns a {}",
        "file {}",
        "hold {}",
        "replace {}",
    ];
    let steps = steps.map(|step| quoted(&step.replace("{}", HOSTILE)));
    let script = format!("message = [{}, \"change Subject x\"]", steps.join(", "));
    let folder = scripted(home.path(), &script);
    case(&folder, "one", "[expect]\nverdict = \"reject\"\n");
    let message = home.path().join("message.eml");
    let encoded = "=?utf-8?b?G1sySgpmb3JnZWQgbGluZQ==?=";
    fs::write(
        &message,
        format!("From: a@example.org\nTo: {encoded} <alice@example.test>\nSubject: {encoded}\n\n{HOSTILE}\n"),
    )
    .unwrap();
    let (wasm, message) = (folder.join("scripted.wasm"), path(&message));
    harmless("run", &plugin(&["run", path(&wasm), message], 0));
    harmless("test", &plugin(&["test", path(&folder)], 1));
    let one_line = HOSTILE.replace("\r\n", " ");
    let step = quoted(&format!("panic {one_line}"));
    scripted(home.path(), &format!("message = [{step}]"));
    for messages in [&[message][..], &[message, message]] {
        let arguments = [&["plugin", "run", path(&wasm)], messages].concat();
        harmless("a failure", &run(&arguments, ""));
    }
}

#[test]
fn what_on_load_says_is_a_line() {
    let home = tempfile::tempdir().unwrap();
    let long = format!("{HOSTILE}{}", "x".repeat(100_000));
    let folder = scripted(
        home.path(),
        &format!("load = [{}]", quoted(&format!("reject 550 5 {long}"))),
    );
    for command in ["check", "test"] {
        harmless(command, &plugin(&[command, path(&folder)], 1));
    }
}

#[test]
fn names_in_a_file_are_shown_as_names() {
    // An import of a function of that name, which no compiler would make.
    let section = [&[1, 0, HOSTILE.len() as u8], HOSTILE.as_bytes(), &[1, 0]].concat();
    let component = [
        b"\0asm\x0d\0\x01\0\x0a",
        &[section.len() as u8][..],
        &section,
    ]
    .concat();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("odd.wasm");
    fs::write(&file, component).unwrap();
    harmless("inspect", &plugin(&["inspect", path(&file)], 0));
    harmless(
        "inspect --json",
        &plugin(&["inspect", path(&file), "--json"], 0),
    );
}

#[test]
fn a_version_is_no_text() {
    let home = tempfile::tempdir().unwrap();
    let folder = scripted(home.path(), "");
    let manifest = format!("version = {}\n", quoted(HOSTILE).replace("\\\\n", "\\n"));
    fs::write(folder.join("plugin.toml"), manifest).unwrap();
    let output = plugin(&["check", path(&folder)], 1);
    harmless("check", &output);
    said(&output, &["cannot be the version of a plugin"]);
}
