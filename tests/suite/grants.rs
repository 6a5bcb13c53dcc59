//! Grants as an administrator meets them: a running server, its files and the commands.

use crate::support::process::{Process, Sender, run};
use crate::support::{self, ALICE};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

static GUEST: &[u8] = include_bytes!(env!("WASMILTER_TEST_GUEST"));

/// The guest can do more than these tests are about.
const UNUSED: &str =
    "unused = [\"kv\", \"dns\", \"wasi:http\", \"route\", \"body-edit\", \"envelope-edit\"]\n";

/// A directory with a configuration whose grants stand beside it, and no plugins yet.
struct Site {
    home: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("filters")).unwrap();
        support::config(
            home.path(),
            "[plugins]\ndirectory = \"filters\"\ngrants = \"grants.toml\"\n",
        );
        Self { home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A folder with the scripted guest, outside of the plugin directory.
    fn guest(&self, name: &str, manifest: &str) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir(&folder).unwrap();
        let manifest = manifest.replace("[capabilities]\n", &format!("[capabilities]\n{UNUSED}"));
        fs::write(folder.join("plugin.toml"), manifest).unwrap();
        fs::write(folder.join("filter.wasm"), GUEST).unwrap();
        folder
    }

    fn plugin(&self, arguments: &[&str], status: i32) -> String {
        let config = self.path("wasmilter.toml");
        let all = [&["plugin"], arguments, &["--config", text(&config)]].concat();
        said(&run(&all, ""), status)
    }

    fn grants(&self) -> String {
        fs::read_to_string(self.path("grants.toml")).unwrap_or_default()
    }

    /// Until `plugin list` says so.
    fn listed(&self, part: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let list = self.plugin(&["list"], 0);
            if list.contains(part) {
                return list;
            }
            assert!(Instant::now() < deadline, "{part}: {list}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn said(output: &Output, status: i32) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.code(), Some(status), "{said}");
    said
}

#[test]
fn a_filter_is_granted_what_it_asks_for_beside_a_running_server() {
    let site = Site::new();
    let config = site.path("wasmilter.toml");
    let manifest = "[capabilities]\nheader-edit = [\"X-*\"]\n[config]\nmessage = [\"add X-A 1\", \"change Subject x\"]\n";
    let folder = site.guest("stranger", manifest);
    let server = Process::serve(&config, 3);
    let account = ["account", "add", ALICE, "--config", text(&config)];
    said(&run(&account, "secret\n"), 0);
    let mut sender = Sender::connect(server.address("smtp")).unwrap();
    let mut explained = |id: &str| {
        let message = format!("Message-ID: <{id}>\r\nSubject: s\r\n\r\nb");
        assert_eq!(sender.send(ALICE, &message).unwrap(), 250);
        said(&run(&["explain", id, "--config", text(&config)], ""), 0)
    };

    let installed = site.plugin(&["install", text(&folder)], 0);
    assert!(
        installed.contains("stranger asks for ") && installed.contains("header-edit (X-*)"),
        "{installed}"
    );
    assert!(
        installed.contains("it is kept out as it is: stranger asks for header-edit, filing"),
        "{installed}"
    );
    let list = site.listed("KEPT OUT");
    let lines = "[stranger]\nabilities = [\"header-edit\", \"filing\"]";
    assert!(list.contains(&format!("grants.toml:\n{lines}")), "{list}");
    assert!(!explained("1@x").contains("X-A"));

    // By hand, with the very lines that it names.
    fs::write(site.path("grants.toml"), format!("# mine\n{lines}\n")).unwrap();
    let list = site.listed("  active");
    assert!(list.contains("header-edit (X-*)"), "{list}");
    let after = explained("2@x");
    assert!(after.contains("X-A"), "{after}");
    assert!(
        after.contains("not-granted: stranger may use header-edit on X-*, not on \"Subject\""),
        "{after}"
    );

    fs::write(site.path("grants.toml"), "# mine\n").unwrap();
    site.listed("KEPT OUT");
    assert!(!explained("3@x").contains("X-A"));

    // By command.
    let granted = site.plugin(&["grant", "stranger"], 0);
    assert!(granted.contains("granted to stranger in "), "{granted}");
    assert_eq!(
        site.grants(),
        "# mine\n\n[stranger]\nabilities = [\"header-edit\", \"filing\"]\nheader-edit = [\"X-*\"]\n"
    );
    site.listed("  active");
    assert!(explained("4@x").contains("X-A"));
    let again = site.plugin(&["grant", "stranger"], 0);
    assert!(
        again.contains("granted all that it asks for already"),
        "{again}"
    );
    let other = site.plugin(&["grant", "nobody"], 1);
    assert!(other.contains("there is no plugin nobody in"), "{other}");

    fs::write(site.path("grants.toml"), "[stranger]\nabilites = []\n").unwrap();
    let list = site.listed("problem: ");
    assert!(
        list.contains("line 2, column 1: unknown key \"abilites\"") && list.contains("  active"),
        "{list}"
    );
    assert!(server.terminate().success());
}

#[test]
fn a_filter_that_may_not_accept_cannot_end_the_chain() {
    let site = Site::new();
    let config = site.path("wasmilter.toml");
    let hasty = "order = 1\n[config]\nmessage = [\"accept\"]\n";
    let last = "order = 2\n[config]\nmessage = [\"reject 550 5 no\"]\n";
    for (name, manifest) in [("hasty", hasty), ("last", last)] {
        let folder = site.guest(name, manifest);
        site.plugin(&["install", text(&folder), "--grant"], 0);
    }
    let server = Process::serve(&config, 3);
    let account = ["account", "add", ALICE, "--config", text(&config)];
    said(&run(&account, "secret\n"), 0);
    let mut sender = Sender::connect(server.address("smtp")).unwrap();
    // Its on-error is the default.
    assert_eq!(sender.send(ALICE, "Subject: s\r\n\r\nb").unwrap(), 451);

    let grants = site.grants();
    let allowed = grants.replace("[hasty]\n", "[hasty]\nverdicts = [\"accept\"]\n");
    assert_ne!(grants, allowed);
    fs::write(site.path("grants.toml"), allowed).unwrap();
    site.listed("verdicts (accept)");
    assert_eq!(sender.send(ALICE, "Subject: s\r\n\r\nb").unwrap(), 250);
    assert!(server.terminate().success());
}

#[test]
fn first_party_plugins_are_granted_by_being_named() {
    let site = Site::new();
    let installed = site.plugin(&["install", "rewrite", "folders", "spam-score"], 0);
    assert!(
        installed.contains("granted to rewrite in ") && installed.contains(": header-edit\n"),
        "{installed}"
    );
    assert_eq!(
        site.grants(),
        "[rewrite]\nabilities = [\"header-edit\"]\n\n[folders]\nabilities = [\"filing\"]\n"
    );
    let server = Process::serve(&site.path("wasmilter.toml"), 3);
    let list = site.listed("rewrite 0.1.0  active");
    assert!(!list.contains("KEPT OUT"), "{list}");
    assert!(
        list.contains("header-edit (X-* Subject)") && list.contains("verdicts (none)"),
        "{list}"
    );
    assert!(server.terminate().success());
}

#[test]
fn what_a_plugin_asks_for_is_shown_before_it_runs() {
    let site = Site::new();
    let manifest = "[capabilities]\nheader-edit = [\"X-*\"]\nverdicts = [\"reject\"]\n";
    let folder = site.guest("one", manifest);
    let wasm = folder.join("filter.wasm");
    let inspect = said(&run(&["plugin", "inspect", text(&wasm)], ""), 0);
    let asks = inspect
        .lines()
        .find(|line| line.starts_with("asks for "))
        .unwrap();
    assert!(
        asks.contains("header-edit (X-*)")
            && asks.contains("verdicts (reject)")
            && !asks.contains("kv"),
        "{asks}"
    );

    let check = said(&run(&["plugin", "check", text(&folder)], ""), 0);
    assert!(
        check.contains("once it is granted")
            && check.contains("[one]\nabilities = [\"header-edit\", \"filing\"]"),
        "{check}"
    );
    let check = site.plugin(&["check", text(&folder)], 1);
    assert!(
        check.contains("the server keeps it out: one asks for header-edit"),
        "{check}"
    );
    let grants = site.path("other.toml");
    fs::write(
        &grants,
        "[one]\nabilities = [\"header-edit\", \"filing\"]\n",
    )
    .unwrap();
    let arguments = ["plugin", "check", text(&folder), "--grants", text(&grants)];
    let check = said(&run(&arguments, ""), 0);
    assert!(
        check.contains("in force: ") && check.contains("header-edit (X-*)"),
        "{check}"
    );

    fs::write(
        folder.join("plugin.toml"),
        "[capabilities]\nheader-edit = [\"a b\"]\n",
    )
    .unwrap();
    let check = said(&run(&["plugin", "check", text(&folder)], ""), 1);
    assert!(
        check.contains("plugin.toml: line 2, column 16: \"a b\" is no pattern for field names"),
        "{check}"
    );
}
