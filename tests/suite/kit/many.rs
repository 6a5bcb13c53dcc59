//! Many messages: summed up, and measured.

use super::*;

#[test]
fn many_messages_are_summed_up() {
    let home = tempfile::tempdir().unwrap();
    let folder = scripted(
        home.path(),
        "message = [\"score CASINO 4 a reason\", \"add X-A 1\"]",
    );
    let wasm = folder.join("scripted.wasm");
    let mbox = home.path().join("mbox");
    let message = "From bob@x Tue Nov 17\nTo: alice@example.test\nSubject: hello\n\nhello\n\n";
    fs::write(&mbox, message.repeat(3)).unwrap();
    case(&folder, "one", "");
    let many = plugin(
        &["run", path(&wasm), path(&mbox), path(&folder.join("cases"))],
        0,
    );
    said(
        &many,
        &[
            "4 messages: 4 continue; 4 with edits\n",
            "       4  CASINO\n",
            "time for one: median ",
        ],
    );
    let one = folder.join("cases/one.eml");
    let rendered = plugin(&["run", path(&wasm), path(&one), "--rendered"], 0);
    said(&rendered, &["\r\nX-A: 1\r\n\r\nhello\r\n"]);
    said(
        &plugin(&["run", path(&wasm), path(&mbox), "--rendered"], 1),
        &["--rendered is for one message"],
    );
    scripted(
        home.path(),
        "message = [\"reject 550 5 no\"]\ndeliver = [\"panic now\"]",
    );
    said(
        &plugin(&["run", path(&wasm), path(&mbox)], 0),
        &[
            "mbox #2: reject 550 5.7.1",
            "3 messages: 3 reject; 0 with edits",
        ],
    );
    scripted(home.path(), "message = [\"panic now\"]");
    said(
        &plugin(&["run", path(&wasm), path(&mbox)], 1),
        &["mbox #3: FAILED at message: trap", "3 messages: 3 FAILED"],
    );
    said(
        &plugin(&["run", path(&wasm), path(&one)], 1),
        &["counts as tempfail"],
    );
    // What a failure counts as is for its manifest to say.
    for (on_error, verdict) in [
        ("skip", "continue"),
        ("reject", "reject"),
        ("quarantine", "quarantine"),
    ] {
        let manifest = format!("on-error = \"{on_error}\"\n[config]\nmessage = [\"panic now\"]\n");
        fs::write(folder.join("plugin.toml"), manifest).unwrap();
        said(
            &plugin(&["run", path(&wasm), path(&one)], 1),
            &[&format!("counts as {verdict}")],
        );
    }
    let empty = tempfile::tempdir().unwrap();
    said(
        &plugin(&["run", path(&wasm), path(empty.path())], 1),
        &["there is no message"],
    );
}

#[test]
fn bench_splits_the_cost() {
    let home = tempfile::tempdir().unwrap();
    let folder = scripted(home.path(), "message = [\"score CASINO 4 a reason\"]");
    case(&folder, "one", "");
    let (wasm, message) = (folder.join("scripted.wasm"), folder.join("cases/one.eml"));
    let bench = plugin(&["bench", path(&wasm), path(&message), "--times", "20"], 0);
    said(
        &bench,
        &[
            "20 times",
            "instantiate",
            "message",
            "deliver",
            "together",
            "host calls",
            "nothing",
            "ratio",
            "KiB of memory",
        ],
    );
    let manifest = fs::read_to_string(folder.join("plugin.toml")).unwrap();
    for warm in [false, true] {
        let manifest = format!("warm = {warm}\n{manifest}");
        fs::write(folder.join("plugin.toml"), manifest).unwrap();
        let json = plugin(
            &[
                "bench",
                path(&wasm),
                path(&message),
                "--times",
                "20",
                "--json",
            ],
            0,
        );
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        let median = |part: &str| json["parts"][part]["median-ns"].as_u64().unwrap();
        assert!(
            json["parts"]["together"]["empty-median-ns"]
                .as_u64()
                .unwrap()
                > 0
                && median("host calls") > 0
                && json["empty-memory-octets"].as_u64().unwrap() > 0,
            "{json}"
        );
        assert!(
            median("instantiate") > 0 && median("together") >= median("message"),
            "{json}"
        );
    }
    scripted(home.path(), "message = [\"panic now\"]");
    said(
        &plugin(&["bench", path(&wasm), path(&message)], 1),
        &["the plugin fails on it", "now"],
    );
}
