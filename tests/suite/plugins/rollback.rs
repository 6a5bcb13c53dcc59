//! Versions that were in force come back: by command, or because a new one does worse; and pins hold.

use super::*;
use wasmilter::plugin::{Pin, ProbationConfig, Services};

struct Kept {
    rig: Rig,
    state: TempDir,
    probation: ProbationConfig,
    services: Services,
}

impl Kept {
    fn new() -> Self {
        Self {
            rig: Rig::new(),
            state: tempfile::tempdir().unwrap(),
            probation: ProbationConfig {
                calls: 0,
                ..ProbationConfig::default()
            },
            services: Services::default(),
        }
    }

    fn version(&self, version: &str, script: &str) {
        let manifest = format!("version = {version:?}\n[config]\n{script}");
        self.rig.plugin("guest", &manifest, GUEST);
    }

    async fn start(&self) -> Host {
        let config = Config {
            state: Some(self.state.path().to_owned()),
            probation: self.probation,
            services: self.services.clone(),
            ..self.rig.config()
        };
        Host::start(config).await.unwrap()
    }
}

fn in_force(host: &Host) -> String {
    let generation = host.generation();
    generation.filters[0].info().version.clone()
}

async fn pin(host: &Host) -> Option<Pin> {
    host.health(Some("guest")).await.remove(0).pin
}

#[tokio::test]
async fn what_was_in_force_comes_back_and_stays_until_it_is_unpinned() {
    let kept = Kept::new();
    kept.version("1", "");
    let host = kept.start().await;
    let error = host.rollback("guest", None).await.unwrap_err();
    assert!(error.contains("no former version"), "{error}");
    for version in ["2", "3"] {
        kept.version(version, "");
        host.reload().await;
    }
    assert_eq!(in_force(&host), "3");
    assert_eq!(host.rollback("guest", None).await.unwrap().version, "2");
    assert_eq!(in_force(&host), "2");
    // Not to and fro.
    let error = host.rollback("guest", None).await.unwrap_err();
    assert!(error.contains("--to"), "{error}");
    // Whatever lies in the directory, and over a restart.
    kept.version("4", "");
    host.reload().await;
    assert_eq!(in_force(&host), "2");
    drop(host);
    fs::remove_dir_all(kept.rig.path().join("guest")).unwrap();
    let host = kept.start().await;
    assert_eq!(in_force(&host), "2");
    kept.version("4", "");
    host.reload().await;
    let said = status(&host.generation(), "guest").pinned.unwrap();
    assert!(
        said.contains("rolled back from 3") && said.contains("4 lies in the directory"),
        "{said}"
    );

    assert_eq!(
        host.rollback("guest", Some("1")).await.unwrap().version,
        "1"
    );
    assert_eq!(in_force(&host), "1");
    let error = host.rollback("guest", Some("17")).await.unwrap_err();
    assert!(error.contains("not among the versions"), "{error}");
    assert_eq!(in_force(&host), "1");
    host.unpin("guest").await.unwrap();
    assert_eq!((in_force(&host).as_str(), pin(&host).await), ("4", None));
    assert!(
        host.unpin("guest")
            .await
            .unwrap_err()
            .contains("not pinned")
    );
    assert!(host.pin("nobody", None).await.is_err());
}

#[tokio::test]
async fn of_two_rollbacks_at_once_what_was_confirmed_last_is_in_force() {
    let kept = Kept::new();
    kept.version("1", "");
    let host = kept.start().await;
    for version in ["2", "3"] {
        kept.version(version, "");
        host.reload().await;
    }
    for round in 0..5 {
        // That something has changed makes the first one look twice, and the other come in between.
        kept.version(&format!("4.{round}"), "");
        let (one, two) = tokio::join!(
            host.rollback("guest", Some("1")),
            host.rollback("guest", Some("2"))
        );
        assert_eq!(
            (one.unwrap().version, two.unwrap().version),
            ("1".to_owned(), "2".to_owned())
        );
        assert_eq!(in_force(&host), "2");
        assert_eq!(pin(&host).await.unwrap().version, "2");
        host.unpin("guest").await.unwrap();
    }
}

#[tokio::test]
async fn a_pin_to_what_cannot_be_loaded_changes_nothing() {
    let kept = Kept::new();
    kept.version("1", "");
    let host = kept.start().await;
    kept.version("2", "");
    host.reload().await;
    let history = host.health(Some("guest")).await.remove(0).history;
    let first = history
        .iter()
        .find(|version| version.version == "1")
        .unwrap();
    let file = format!("history/guest/{}/filter.wasm", first.id);
    fs::write(kept.state.path().join(file), "damaged").unwrap();
    let error = host.rollback("guest", None).await.unwrap_err();
    assert!(error.contains("damaged"), "{error}");
    assert_eq!((in_force(&host).as_str(), pin(&host).await), ("2", None));
    // Pins that cannot be read are not written over.
    fs::write(kept.state.path().join("pins.json"), "{").unwrap();
    assert!(
        host.pin("guest", None)
            .await
            .unwrap_err()
            .contains("pins.json")
    );
}

#[tokio::test]
async fn a_pinned_version_goes_by_the_grants_of_now() {
    let kept = Kept::new();
    let grants = kept.rig.path().join("grants.toml");
    let grant = |abilities: &str| {
        let text = format!("[guest]\nabilities = [{abilities}]\nverdicts = [\"*\"]\n");
        fs::write(&grants, text).unwrap();
    };
    let config = Config {
        grants: Granting::File(grants.clone()),
        state: Some(kept.state.path().to_owned()),
        probation: kept.probation,
        ..kept.rig.config()
    };
    grant("\"*\"");
    kept.version("1", "message = [\"add X-A 1\"]");
    let host = Host::start(config).await.unwrap();
    kept.version("2", "message = [\"add X-A 2\"]");
    host.reload().await;
    host.rollback("guest", None).await.unwrap();
    assert_eq!(in_force(&host), "1");
    grant("\"filing\"");
    let generation = host.reload().await;
    assert!(generation.filters.is_empty(), "{:?}", generation.plugins);
    // It comes back with what it needs.
    grant("\"*\"");
    host.reload().await;
    assert_eq!(in_force(&host), "1");
    assert_eq!(at_message(&host).await.edits.len(), 1);
}

/// Messages until another version is in force.
async fn until(host: &Host, version: &str) {
    let mut numbers = host.subscribe();
    for _ in 0..200 {
        at_message(host).await;
        if in_force(host) == version {
            return;
        }
        // What is judged is done beside the mail.
        tokio::task::yield_now().await;
    }
    let change = numbers.changed();
    tokio::time::timeout(Duration::from_secs(60), change)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(in_force(host), version);
}

#[tokio::test]
async fn a_new_version_that_fails_or_says_other_things_is_replaced_by_the_one_before() {
    let mut kept = Kept::new();
    kept.probation = ProbationConfig {
        calls: 30,
        time: Duration::from_secs(600),
        ..ProbationConfig::default()
    };
    kept.version("1", "");
    let host = kept.start().await;
    for _ in 0..30 {
        fine(&at_message(&host).await);
    }
    for (version, step, why) in [
        ("2", "panic no", "calls failed"),
        ("3", "discard", "more or less frequent"),
    ] {
        // Another version than the one that was rejected ends the pin.
        kept.version(version, &format!("message = [{step:?}]"));
        host.reload().await;
        assert_eq!(in_force(&host), version);
        until(&host, "1").await;
        let pin = pin(&host).await.unwrap();
        assert!(
            pin.why.contains(&format!("{version} left its probation")),
            "{pin:?}"
        );
        assert!(pin.why.contains(why), "{pin:?}");
        fine(&at_message(&host).await);
        for _ in 0..30 {
            fine(&at_message(&host).await);
        }
    }
    let metrics = kept.services.metrics.text();
    for line in [
        "wasmilter_filter_rollbacks_total{filter=\"guest\",cause=\"probation\"} 2",
        "wasmilter_filter_on_probation{filter=\"guest\",mode=\"active\"} 0",
        "wasmilter_plugin_reloads_total{result=\"changed\"}",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    drop(host);
    assert_eq!(in_force(&kept.start().await), "1");
}

#[tokio::test]
async fn one_that_does_well_passes_and_is_gone_back_to() {
    let mut kept = Kept::new();
    kept.probation = ProbationConfig {
        calls: 20,
        time: Duration::ZERO,
        ..ProbationConfig::default()
    };
    kept.version("1", "");
    let host = kept.start().await;
    kept.version("2", "");
    host.reload().await;
    for _ in 0..20 {
        fine(&at_message(&host).await);
    }
    let passed = async || {
        let history = host.health(Some("guest")).await.remove(0).history;
        history.iter().all(|version| version.passed)
    };
    while !passed().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    kept.version("3", "message = [\"panic no\"]");
    host.reload().await;
    until(&host, "2").await;
}
