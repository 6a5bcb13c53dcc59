//! Files come, change and go; what is in force follows, or stays and says why.

use super::*;
use crate::support::process::{Process, Sender, run};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};
use wasmilter::plugin::{StatusFile, Watching};

/// The guest's bytes with one text in them put for another of the same length.
fn patched(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut wasm = GUEST.to_vec();
    let mut at = 0;
    let mut count = 0;
    while let Some(found) = wasm[at..]
        .windows(from.len())
        .position(|window| window == from.as_bytes())
    {
        at += found;
        wasm[at..at + to.len()].copy_from_slice(to.as_bytes());
        count += 1;
    }
    assert!(count > 0, "{from} is not in there");
    wasm
}

fn names(generation: &Generation) -> Vec<&str> {
    generation
        .filters
        .iter()
        .map(|filter| filter.info().name.as_str())
        .collect()
}

#[tokio::test]
async fn what_cannot_be_a_plugin_is_kept_out_by_name() {
    let table: Vec<(&str, &str, Vec<u8>, &str)> = vec![
        ("garbage", "", b"not wasm at all".to_vec(), "it is not WASM"),
        ("empty", "", Vec::new(), "the file is empty"),
        ("core", "", b"\0asm\x01\0\0\0".to_vec(), "core WASM module"),
        (
            "half",
            "",
            GUEST[..GUEST.len() / 2].to_vec(),
            "does not compile",
        ),
        (
            "hollow",
            "",
            b"\0asm\x0d\0\x01\0".to_vec(),
            "exports no hook",
        ),
        (
            "newer",
            "",
            patched("@0.1.1", "@0.2.0"),
            "made for contract wasmilter:filter@0.2.0",
        ),
        (
            "foreign",
            "",
            patched(
                "wasmilter:filter/score@0.1.1",
                "wasmilter:filter/spore@0.1.1",
            ),
            "imports wasmilter:filter/spore@0.1.1",
        ),
        (
            "elsewhere",
            "",
            patched(
                "wasmilter:filter/score@0.1.1",
                "wasmolter:filter/score@0.1.1",
            ),
            "imports wasmolter:filter/score@0.1.1",
        ),
        (
            "unhooked",
            "",
            patched("on-message@0.1.1", "on-massage@0.1.1"),
            "on-massage",
        ),
        (
            "unread",
            "order = \"first\"",
            GUEST.to_vec(),
            "plugin.toml, line 1, column 9",
        ),
        (
            "unknown",
            "colour = 1",
            GUEST.to_vec(),
            "unknown field `colour`",
        ),
        (
            "unwilling",
            "[config]\nload = [\"reject 550 5 no rules given\"]",
            GUEST.to_vec(),
            "on-load says: no rules given",
        ),
        (
            "unconfigured",
            "[config]\nload = 3",
            GUEST.to_vec(),
            "on-load says: [config]: invalid type",
        ),
        (
            "panicking",
            "[config]\nload = [\"panic at the start\"]",
            GUEST.to_vec(),
            "at the start",
        ),
        (
            "eating",
            "[config]\nload = [\"eat 100\"]",
            GUEST.to_vec(),
            "64 MiB",
        ),
        (
            "sleeping",
            "[config]\nload = [\"sleep 99999999\"]",
            GUEST.to_vec(),
            "on-load failed: timeout",
        ),
        (
            "looping",
            "[config]\nload = [\"loop\"]",
            GUEST.to_vec(),
            "on-load failed: timeout",
        ),
    ];
    let rig = Rig::new();
    for (name, manifest, wasm, _) in &table {
        rig.plugin(name, manifest, wasm);
    }
    rig.guest("sound", "");
    fs::create_dir(rig.path().join("no-wasm")).unwrap();
    fs::write(rig.path().join("no-wasm/plugin.toml"), "").unwrap();
    let host = rig.start().await;
    let generation = host.generation();
    assert_eq!(names(&generation), ["sound"]);
    for (name, _, _, expected) in &table {
        let why = kept_out(&generation, name);
        assert!(why.contains(expected), "{name}: {why}");
    }
    assert!(kept_out(&generation, "no-wasm").contains("no .wasm file"));
}

#[tokio::test]
async fn a_plugin_for_a_later_patch_of_the_contract_loads() {
    let rig = Rig::new();
    rig.plugin(
        "later",
        "[config]\nmessage = [\"score X 1 a\"]",
        &patched("@0.1.1", "@0.1.7"),
    );
    let host = rig.start().await;
    let outcome = at_message(&host).await;
    assert_eq!(outcome.symbols[0].name, "X", "{outcome:?}");
}

#[tokio::test]
async fn plugins_are_added_replaced_and_removed() {
    let rig = Rig::new();
    rig.guest("b", "");
    let host = rig.start().await;
    let mut numbers = host.subscribe();
    assert_eq!(
        (names(&host.generation()), host.generation().number),
        (vec!["b"], 1)
    );

    rig.plugin("a", "order = 99", GUEST);
    rig.plugin("c", "order = 10\nname = \"see\"\nversion = \"7\"", GUEST);
    fs::write(rig.path().join("bare.wasm"), GUEST).unwrap();
    let generation = host.reload().await;
    assert_eq!(names(&generation), ["see", "b", "bare", "a"]);
    assert_eq!(status(&generation, "see").version.as_deref(), Some("7"));
    assert_eq!((generation.number, *numbers.borrow_and_update()), (2, 2));

    let before = status(&generation, "b").loaded_at;
    rig.guest("bare", r#"message = ["accept"]"#);
    fs::remove_file(rig.path().join("bare.wasm")).unwrap();
    fs::remove_dir_all(rig.path().join("a")).unwrap();
    let generation = host.reload().await;
    assert_eq!(names(&generation), ["see", "b", "bare"]);
    let mut run = filter(&generation, "bare").open();
    assert_eq!(
        ask(&mut run, Call::Message).await.result,
        Ok(Verdict::Accept)
    );
    // What did not change is carried over.
    assert_eq!(status(&generation, "b").loaded_at, before);

    assert_eq!(host.reload().await.number, 3);
}

#[tokio::test]
async fn a_broken_file_leaves_the_version_before_it_in_force() {
    let rig = Rig::new();
    rig.guest("one", r#"message = ["score ONE 1 a"]"#);
    rig.guest("two", r#"message = ["score TWO 1 a"]"#);
    let host = rig.start().await;

    // One breaks while the other changes.
    rig.plugin("one", "", &GUEST[..1000]);
    rig.guest("two", r#"message = ["score THREE 1 a"]"#);
    let generation = host.reload().await;
    assert_eq!(
        (names(&generation), generation.number),
        (vec!["one", "two"], 2)
    );
    assert!(
        matches!(status(&generation, "one").state, PluginState::Previous(why) if why.contains("does not compile"))
    );
    for (name, symbol) in [("one", "ONE"), ("two", "THREE")] {
        let outcome = ask(&mut filter(&generation, name).open(), Call::Message).await;
        assert_eq!(outcome.symbols[0].name, symbol);
    }

    // A folder that lost its component is broken too.
    fs::remove_file(rig.path().join("two/filter.wasm")).unwrap();
    let generation = host.reload().await;
    assert_eq!(generation.number, 2);
    assert!(matches!(
        status(&generation, "two").state,
        PluginState::Previous(_)
    ));

    // Mended, it counts again.
    rig.guest("one", r#"message = ["score FOUR 1 a"]"#);
    let generation = host.reload().await;
    assert_eq!(generation.number, 3);
    assert_eq!(status(&generation, "one").state, PluginState::Active);
    let outcome = ask(&mut filter(&generation, "one").open(), Call::Message).await;
    assert_eq!(outcome.symbols[0].name, "FOUR");
}

#[tokio::test]
async fn two_plugins_cannot_have_one_name() {
    let rig = Rig::new();
    rig.plugin("a", "name = \"same\"", GUEST);
    rig.plugin("b", "name = \"same\"", GUEST);
    let host = rig.start().await;
    assert_eq!(names(&host.generation()), ["same"]);
    assert!(kept_out(&host.generation(), "b").contains("a has the same name"));
    fs::remove_dir_all(rig.path().join("a")).unwrap();
    let generation = host.reload().await;
    assert_eq!(names(&generation), ["same"]);
    assert_eq!(generation.plugins.len(), 1);
}

#[tokio::test]
async fn a_name_stays_with_the_version_in_force() {
    let rig = Rig::new();
    rig.guest("spam", "");
    rig.guest("other", "");
    let host = rig.start().await;
    rig.plugin("a", "name = \"spam\"", GUEST);
    rig.plugin("b", "name = \"named\"", GUEST);
    let generation = host.reload().await;
    assert_eq!(generation.number, 2);
    assert!(kept_out(&generation, "a").contains("spam has the same name"));
    rig.plugin("aa", "name = \"named\"", GUEST);
    let generation = host.reload().await;
    assert_eq!(generation.number, 2);
    assert!(kept_out(&generation, "aa").contains("b has the same name"));
    // A new version of its own is no newcomer.
    rig.guest("spam", r#"message = ["score NEW 1 a"]"#);
    let generation = host.reload().await;
    let outcome = ask(&mut filter(&generation, "spam").open(), Call::Message).await;
    assert_eq!(outcome.symbols[0].name, "NEW");
    // Nor does a start give it away: it is the folder of that name.
    drop(host);
    let generation = rig.start().await.generation();
    assert!(kept_out(&generation, "a").contains("spam has the same name"));
    let path = status(&generation, "spam").path.unwrap();
    assert_eq!(path, rig.path().join("spam/filter.wasm"));
}

#[tokio::test]
async fn what_is_no_regular_file_is_kept_out() {
    let rig = Rig::new();
    rig.guest("good", "");
    rig.guest("manifest", "");
    fs::remove_file(rig.path().join("manifest/plugin.toml")).unwrap();
    for pipe in ["pipe.wasm", "manifest/plugin.toml"] {
        let made = Command::new("mkfifo").arg(rig.path().join(pipe)).status();
        assert!(made.unwrap().success());
    }
    symlink("/dev/zero", rig.path().join("endless.wasm")).unwrap();
    let started = tokio::time::timeout(Duration::from_secs(60), rig.start());
    let generation = started.await.expect("it waits for a pipe").generation();
    assert_eq!(names(&generation), ["good"]);
    for name in ["pipe", "endless", "manifest"] {
        let why = kept_out(&generation, name);
        assert!(why.contains("is no regular file"), "{why}");
    }
}

#[tokio::test]
async fn an_open_run_keeps_its_version() {
    let rig = Rig::new();
    rig.guest(
        "guest",
        r#"mail = ["score OLD 1 a"]
message = ["score OLD 1 a"]"#,
    );
    let host = rig.start().await;
    let mut begun = open(&host);
    let mut not_begun = open(&host);
    assert_eq!(ask(&mut begun, Call::Mail).await.symbols[0].name, "OLD");

    rig.guest("guest", r#"message = ["score NEW 1 a"]"#);
    host.reload().await;
    assert_eq!(ask(&mut begun, Call::Message).await.symbols[0].name, "OLD");
    assert_eq!(
        ask(&mut not_begun, Call::Message).await.symbols[0].name,
        "OLD"
    );
    assert_eq!(at_message(&host).await.symbols[0].name, "NEW");
    // The host may go: what is open goes on.
    drop(host);
    assert_eq!(ask(&mut begun, Call::Message).await.symbols[0].name, "OLD");
}

#[tokio::test]
async fn a_directory_that_goes_away_changes_nothing() {
    let rig = Rig::new();
    let directory = rig.path().join("plugins");
    assert!(
        Host::start(Config {
            directory: directory.clone(),
            ..rig.config()
        })
        .await
        .is_err()
    );
    fs::create_dir_all(directory.join("guest")).unwrap();
    fs::write(directory.join("guest/guest.wasm"), GUEST).unwrap();
    let status_file = rig.path().join("status.json");
    let host = Host::start(Config {
        directory: directory.clone(),
        status_file: Some(status_file.clone()),
        ..rig.config()
    })
    .await
    .unwrap();
    fs::rename(&directory, rig.path().join("elsewhere")).unwrap();
    let generation = host.reload().await;
    assert_eq!(names(&generation), ["guest"]);
    assert!(generation.problem.is_some());
    let file = StatusFile::read(&status_file).unwrap();
    assert_eq!(
        (file.generation, file.problem),
        (1, generation.problem.clone())
    );
    fs::rename(rig.path().join("elsewhere"), &directory).unwrap();
    assert!(host.reload().await.problem.is_none());
}

#[tokio::test]
async fn the_status_file_says_what_is_loaded_and_why_not() {
    let rig = Rig::new();
    rig.plugin("sound", "version = \"1.2\"\norder = 7", GUEST);
    rig.plugin("broken", "", b"garbage");
    let home = tempfile::tempdir().unwrap();
    let status_file = home.path().join("plugins.json");
    let _host = Host::start(Config {
        status_file: Some(status_file.clone()),
        ..rig.config()
    })
    .await
    .unwrap();
    let file = StatusFile::read(&status_file).unwrap();
    let [broken, sound] = file.plugins.as_slice() else {
        panic!("{file:?}");
    };
    assert!(matches!(&broken.state, PluginState::KeptOut(why) if why.contains("not WASM")));
    assert_eq!(
        (sound.version.as_deref(), sound.order),
        (Some("1.2"), Some(7))
    );
    assert_eq!(sound.hooks, Hook::ALL);
    assert_eq!(sound.size, Some(GUEST.len() as u64));
    assert!(sound.abilities.contains(&"header-edit".to_owned()) && sound.loaded_at.is_some());
}

#[tokio::test]
async fn a_file_written_in_pieces_is_taken_when_it_is_whole() {
    let rig = Rig::new();
    rig.guest("guest", r#"message = ["score OLD 1 a"]"#);
    let host = Host::start(Config {
        watch: Some(Watching {
            debounce: Duration::from_millis(20),
            rescan: Duration::from_secs(60),
        }),
        ..rig.config()
    })
    .await
    .unwrap();
    let mut changes = host.changes();
    changes.mark_unchanged();
    // A new version, its first half first: seen, named, and without effect.
    let file = rig.path().join("guest/filter.wasm");
    let mut wasm = GUEST.to_vec();
    wasm.extend_from_slice(b"\0\x02\x01x");
    fs::write(&file, &wasm[..wasm.len() / 2]).unwrap();
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, changes.changed())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(host.generation().number, 1);
    assert_eq!(at_message(&host).await.symbols[0].name, "OLD");

    fs::write(&file, &wasm).unwrap();
    let whole = tokio::time::timeout(
        patience,
        changes.wait_for(|generation| generation.number == 2),
    );
    let generation = Arc::clone(&whole.await.unwrap().unwrap());
    assert_eq!(status(&generation, "guest").state, PluginState::Active);
    assert_eq!(status(&generation, "guest").size, Some(wasm.len() as u64));
}

#[tokio::test]
async fn a_rescan_finds_what_nobody_told() {
    let rig = Rig::new();
    let host = Host::start(Config {
        watch: Some(Watching {
            // Longer than the test: the file system's hints come too late.
            debounce: Duration::from_secs(600),
            rescan: Duration::from_millis(20),
        }),
        ..rig.config()
    })
    .await
    .unwrap();
    rig.guest("late", "");
    let mut numbers = host.subscribe();
    let found = numbers.wait_for(|number| *number == 2);
    tokio::time::timeout(Duration::from_secs(60), found)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(names(&host.generation()), ["late"]);
}

/// `mv plugins old; mv new plugins`: who watches the old one hears nothing of what happens in the new one.
#[tokio::test]
async fn a_directory_that_takes_the_place_of_another_is_followed() {
    let rig = Rig::new();
    rig.guest("first", "");
    let host = Host::start(Config {
        watch: Some(Watching {
            debounce: Duration::from_millis(20),
            // Longer than the test.
            rescan: Duration::from_secs(600),
        }),
        ..rig.config()
    })
    .await
    .unwrap();
    let patience = Duration::from_secs(60);
    let mut changes = host.changes();
    let mut wait_for = async |expected: &[&str]| {
        let there = changes.wait_for(|generation| names(generation) == expected);
        let there = tokio::time::timeout(patience, there).await;
        assert!(there.is_ok(), "{:?}", names(&host.generation()));
    };
    let (old, new) = (Rig::new(), Rig::new());
    new.guest("second", "");
    fs::rename(rig.path(), old.path().join("old")).unwrap();
    fs::rename(new.path(), rig.path()).unwrap();
    wait_for(&["second"]).await;
    rig.guest("third", "");
    wait_for(&["second", "third"]).await;
}

/// A server's configuration and its plugin directory, with one plugin.
struct Home {
    directory: TempDir,
}

impl Home {
    fn new() -> Self {
        let home = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(home.at("plugins")).unwrap();
        let config = format!(
            "hostname = \"mx.example.test\"\ndata-dir = {:?}\ndomains = [\"example.test\"]\n[plugins]\ndirectory = \"plugins\"\n[[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:0\"\ntls = \"none\"\n",
            home.at("data")
        );
        fs::write(home.file(), config).unwrap();
        home.done(&["account", "add", "alice@example.test"], "secret");
        home.done(&["plugin", "install", "folders"], "");
        home
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn file(&self) -> PathBuf {
        self.at("wasmilter.toml")
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let file = self.file();
        run(
            &[arguments, &["--config", file.to_str().unwrap()]].concat(),
            input,
        )
    }

    fn done(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn a_running_server_answers_without_its_plugin_directory() {
    let home = Home::new();
    let server = Process::serve(&home.file(), 1);
    fs::rename(home.at("plugins"), home.at("old")).unwrap();
    assert!(
        home.done(&["plugin", "list"], "")
            .contains("folders 0.1.0  active")
    );
    assert!(
        home.done(&["plugin", "pin", "folders"], "")
            .contains("is in force")
    );
    home.done(&["plugin", "unpin", "folders"], "");
    for needs_it in [&["check"][..], &["plugin", "install", "folders"]] {
        let output = home.run(needs_it, "");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("mkdir -p"), "{said}");
    }
    server.terminate();
}

/// By the program itself: within the tests' process there is nothing that could be called to compile.
#[test]
fn plugins_are_compiled_in_another_process_and_only_once() {
    let home = Home::new();
    let data = home.at("data");
    let done = |arguments: &[&str], input: &str| home.done(arguments, input);
    let marks = || -> Vec<_> {
        let marks = fs::read_dir(data.join("plugin-state/compiled")).unwrap();
        let stamp = |mark: fs::DirEntry| (mark.file_name(), mark.metadata().unwrap().modified());
        let mut marks: Vec<_> = marks.map(|mark| stamp(mark.unwrap())).collect();
        marks.sort_by(|a, b| a.0.cmp(&b.0));
        marks
            .into_iter()
            .map(|(name, at)| (name, at.unwrap()))
            .collect()
    };
    let mut seen = Vec::new();
    for _ in 0..2 {
        let server = Process::serve(&home.file(), 1);
        let mut sender = Sender::connect(server.address("smtp")).unwrap();
        assert_eq!(
            sender
                .send("alice@example.test", "Subject: a\r\n\r\nb\r\n")
                .unwrap(),
            250
        );
        assert!(done(&["plugin", "list"], "").contains("folders 0.1.0  active"));
        seen.push(marks());
        server.terminate();
    }
    // As it is, to run `on-load` in, and as that left it.
    assert_eq!(seen[0].len(), 2, "{seen:?}");
    assert_eq!(seen[0], seen[1]);
}
