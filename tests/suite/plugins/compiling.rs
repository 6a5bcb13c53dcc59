//! A component that wants more of the compiler than there is for it keeps nobody waiting: not who reloads, rolls back, takes a grant away or stops.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use wasmilter::plugin::{Compiler, ProbationConfig, Watching};

/// In a custom section of a component that the compiler of these tests never has done with.
const BOMB: &str = "never-done";

const PATIENCE: Duration = Duration::from_secs(60);

struct Rigged {
    rig: Rig,
    state: TempDir,
}

impl Rigged {
    fn new() -> Self {
        Self {
            rig: Rig::new(),
            state: tempfile::tempdir().unwrap(),
        }
    }

    /// `deadline`: of the compiler.
    fn config(&self, deadline: Duration) -> Config {
        let program = self.state.path().join("compiler");
        // What it has done with is compiled by the tests' process, into a cache that all of them have.
        let script = format!(
            "#!/bin/sh\ngrep -q {BOMB} || exit 0\n: > {:?}\nexec sleep 600\n",
            self.at_it()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        Config {
            compiler: Some(Compiler::new(program, deadline)),
            state: Some(self.state.path().join("state")),
            grants: Granting::File(self.rig.path().join("grants.toml")),
            probation: ProbationConfig {
                calls: 0,
                ..ProbationConfig::default()
            },
            ..self.rig.config()
        }
    }

    /// The compiler makes it once it has to do with what it is never done with.
    fn at_it(&self) -> PathBuf {
        self.state.path().join("at-it")
    }

    async fn is_at_it(&self) {
        let begun = async {
            while !self.at_it().exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, begun).await.unwrap();
    }

    fn grant(&self, abilities: &str) {
        let text = format!("[\"*\"]\nabilities = [{abilities}]\nverdicts = [\"*\"]\n");
        fs::write(self.rig.path().join("grants.toml"), text).unwrap();
    }

    fn version(&self, version: &str) {
        let manifest = format!("version = {version:?}\n[config]\nmessage = [\"add X-A 1\"]");
        self.rig.plugin("guest", &manifest, GUEST);
    }

    fn bomb(&self) {
        let mut wasm = GUEST.to_vec();
        let length = u8::try_from(BOMB.len()).unwrap();
        wasm.extend_from_slice(&[0, length + 1, length]);
        wasm.extend_from_slice(BOMB.as_bytes());
        self.rig.plugin("bomb", "", &wasm);
    }
}

#[tokio::test]
async fn what_takes_too_long_to_compile_is_kept_out_and_the_former_version_goes_on() {
    let rigged = Rigged::new();
    rigged.grant("\"*\"");
    rigged.version("1");
    rigged.bomb();
    let host = Host::start(rigged.config(Duration::from_secs(10)))
        .await
        .unwrap();
    let generation = host.generation();
    assert_eq!(status(&generation, "guest").state, PluginState::Active);
    let why = kept_out(&generation, "bomb");
    assert!(why.contains("it was not compiled within 10 s"), "{why}");
    // It is not tried at each reload.
    fs::remove_file(rigged.at_it()).unwrap();
    host.reload().await;
    assert!(!rigged.at_it().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_is_compiled_grants_and_pins_of_others_are_in_force_at_once() {
    let rigged = Rigged::new();
    rigged.grant("\"*\"");
    rigged.version("1");
    let host = Arc::new(
        Host::start(rigged.config(Duration::from_secs(600)))
            .await
            .unwrap(),
    );
    rigged.version("2");
    host.reload().await;
    rigged.bomb();
    let reload = tokio::spawn({
        let host = Arc::clone(&host);
        async move { host.reload().await.number }
    });
    rigged.is_at_it().await;
    let pin = tokio::time::timeout(PATIENCE, host.rollback("guest", None)).await;
    assert_eq!(
        pin.expect("it waits for the compiler").unwrap().version,
        "1"
    );
    assert_eq!(host.generation().filters[0].info().version, "1");
    let unpin = tokio::time::timeout(PATIENCE, host.unpin("guest")).await;
    unpin.expect("it waits for the compiler").unwrap();
    assert_eq!(host.generation().filters[0].info().version, "2");
    assert!(!reload.is_finished());
    // Who stops doesn't wait either.
    host.stop_compiling();
    tokio::time::timeout(PATIENCE, reload)
        .await
        .expect("it waits for the compiler")
        .unwrap();
    assert!(kept_out(&host.generation(), "bomb").contains("is being stopped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_taken_away_while_something_is_compiled() {
    let rigged = Rigged::new();
    rigged.grant("\"*\"");
    rigged.version("1");
    let host = Host::start(Config {
        watch: Some(Watching {
            debounce: Duration::from_millis(20),
            rescan: Duration::from_secs(600),
        }),
        ..rigged.config(Duration::from_secs(600))
    })
    .await
    .unwrap();
    assert_eq!(at_message(&host).await.edits.len(), 1);
    rigged.bomb();
    rigged.is_at_it().await;
    rigged.grant("\"config\"");
    let mut changes = host.changes();
    let gone = changes.wait_for(|generation| generation.filters.is_empty());
    let gone = tokio::time::timeout(PATIENCE, gone).await;
    drop(gone.expect("it waits for the compiler").unwrap());
    assert!(kept_out(&host.generation(), "guest").contains("asks for"));
}
