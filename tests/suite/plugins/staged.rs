//! Two versions of one plugin at a time: a shadow that changes nothing, a canary for a share.

use super::*;
use std::collections::HashSet;
use wasmilter::chain::{Chain, Draft, Run};
use wasmilter::mail::{FailureKind, Mode, Turn};
use wasmilter::plugin::Services;

fn chain(host: &Host) -> Chain {
    let generation = host.generation();
    Chain {
        generation: generation.number,
        filters: Arc::clone(&generation.filters),
    }
}

/// A transaction from MAIL to the message, and what it leaves behind.
async fn transaction(host: &Host, id: u64) -> (Verdict, Vec<Turn>, Draft) {
    let mut view = view(Hook::Message);
    let id = TransactionId::new(id, id);
    let mut run = Run::new(chain(host), Arc::clone(&view.session), Some(id));
    let mut draft = Draft::new(message(), &view.envelope.recipients);
    let _ = run.rcpt(alice(), &mut view.envelope).await;
    let verdict = run.message(&mut view.envelope, &mut draft).await;
    (verdict, run.end().turns, draft)
}

fn version(name: &str, version: &str, more: &str, script: &str) -> String {
    format!("name = \"{name}\"\nversion = \"{version}\"\n{more}\n[config]\n{script}")
}

#[tokio::test]
async fn a_shadow_is_journalled_and_has_no_effect() {
    let rig = Rig::new();
    rig.guest("first", r#"message = ["score FIRST 1 a"]"#);
    let active = r#"message = ["score OLD 1 a", "add X-Old 1", "count seen 1"]"#;
    let shadow = r#"message = ["score NEW 9 a", "add X-New 1", "remove Subject", "file Junk", "count seen 1", "count Bad 1", "reject 550 5 no"]"#;
    rig.plugin("guest", &version("guest", "1", "", active), GUEST);
    rig.plugin(
        "guest@next",
        &version("guest", "2", "mode = \"shadow\"", shadow),
        GUEST,
    );
    rig.guest("last", r#"message = ["symbols", "get X-New", "get X-Old"]"#);
    let services = Services::default();
    let host = Host::start(Config {
        services: services.clone(),
        ..rig.config()
    })
    .await
    .unwrap();
    let (verdict, turns, draft) = transaction(&host, 1).await;
    let metrics = services.metrics.text();
    // They agree at `rcpt`.
    for result in ["same", "different"] {
        let line = format!("filter_shadow_calls_total{{filter=\"guest\",result=\"{result}\"}} 1\n");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    // What is counted of the plugin is the active version's.
    for line in [
        "wasmilter_plugin_seen_total{plugin=\"guest\"} 1\n",
        "wasmilter_filter_calls_total{filter=\"guest\",hook=\"message\",result=\"continue\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    for none in [
        "filter=\"guest\",hook=\"message\",result=\"reject\"",
        "filter_refused_total{filter=\"guest\"} 1",
    ] {
        assert!(!metrics.contains(none), "{none}: {metrics}");
    }
    assert_eq!(verdict, Verdict::Continue);
    assert!(draft.message().header.get("Subject").next().is_some());
    let at = |name: &str, mode: Mode| {
        let mut found = turns
            .iter()
            .filter(|turn| turn.filter == name && turn.mode == mode && turn.hook == Hook::Message);
        let turn = found
            .next()
            .unwrap_or_else(|| panic!("{name} {mode:?}: {turns:?}"));
        assert!(found.next().is_none());
        turn
    };
    let shadow = at("guest", Mode::Shadow);
    assert_eq!(
        (shadow.version.as_str(), shadow.verdict.name()),
        ("2", "reject")
    );
    assert_eq!(
        (shadow.symbols[0].name.as_str(), shadow.edits.len()),
        ("NEW", 3)
    );
    assert_eq!(at("guest", Mode::Active).version, "1");
    let seen: Vec<_> = at("last", Mode::Active)
        .log
        .iter()
        .map(|line| line.text.as_str())
        .collect();
    assert!(
        seen[0].contains("OLD") && !seen[0].contains("NEW"),
        "{seen:?}"
    );
    assert_eq!(seen[1..], ["", "1"]);
}

#[tokio::test]
async fn a_shadow_that_fails_or_lingers_fails_alone() {
    let rig = Rig::new();
    let active = r#"message = ["score OLD 1 a"]"#;
    rig.plugin("guest", &version("guest", "1", "", active), GUEST);
    let limits =
        "mode = \"shadow\"\non-error = \"reject\"\n[limits]\ncpu-ms = 10000\nwall-ms = 60000";
    for (step, kind) in [
        ("panic no", FailureKind::Trap),
        ("loop", FailureKind::Timeout),
        ("sleep 60000", FailureKind::Timeout),
    ] {
        let script = format!("message = [{step:?}]");
        rig.plugin("guest@next", &version("guest", "2", limits, &script), GUEST);
        let host = rig.start().await;
        let (verdict, turns, _) = transaction(&host, 1).await;
        assert_eq!(verdict, Verdict::Continue, "{step}");
        let at_message = turns.iter().filter(|turn| turn.hook == Hook::Message);
        let kinds: Vec<_> = at_message
            .map(|turn| {
                (
                    turn.mode,
                    turn.result.as_ref().err().map(|failure| failure.kind),
                )
            })
            .collect();
        assert_eq!(
            kinds,
            [(Mode::Shadow, Some(kind)), (Mode::Active, None)],
            "{step}"
        );
    }
}

#[tokio::test]
async fn a_shadow_needs_no_active_version() {
    let rig = Rig::new();
    let script = r#"message = ["score NEW 9 a", "reject 550 5 no"]"#;
    rig.plugin(
        "new",
        &version("new", "1", "mode = \"shadow\"", script),
        GUEST,
    );
    let host = rig.start().await;
    let (verdict, turns, _) = transaction(&host, 1).await;
    assert_eq!(verdict, Verdict::Continue);
    assert!(turns.iter().all(|turn| turn.mode == Mode::Shadow));
    assert_eq!(turns.last().unwrap().verdict.name(), "reject");
}

#[tokio::test]
async fn in_a_transaction_one_of_the_two_versions_runs() {
    let rig = Rig::new();
    rig.plugin("guest", &version("guest", "1", "", "message = []"), GUEST);
    let canary = version(
        "guest",
        "2",
        "mode = \"canary\"\nshare = 0.25",
        "message = []",
    );
    rig.plugin("guest@next", &canary, GUEST);
    let host = rig.start().await;
    let mut of_canary = HashSet::new();
    for id in 0..400 {
        let (_, turns, _) = transaction(&host, id).await;
        let versions: HashSet<_> = turns
            .iter()
            .map(|turn| (turn.version.as_str(), turn.mode == Mode::Canary))
            .collect();
        assert_eq!((turns.len(), versions.len()), (2, 1), "{turns:?}");
        if versions.contains(&("2", true)) {
            of_canary.insert(id);
        } else {
            assert!(versions.contains(&("1", false)), "{versions:?}");
        }
    }
    assert!((60..140).contains(&of_canary.len()), "{}", of_canary.len());
    let (_, turns, _) = transaction(&host, *of_canary.iter().next().unwrap()).await;
    assert_eq!(
        turns[0].mode,
        Mode::Canary,
        "the share is not always the same"
    );
}

#[tokio::test]
async fn a_canary_for_recipients_goes_by_the_first() {
    let rig = Rig::new();
    // It has the hook `message` alone.
    let wasm = wasmilter::plugin::embedded::EmbeddedPlugin::named("rewrite").unwrap();
    let manifest =
        |more: &str| format!("name = \"guest\"\n{more}\n{}", without_head(wasm.manifest));
    rig.plugin("guest", &manifest("version = \"1\""), wasm.bytes);
    let canary = "version = \"2\"\nmode = \"canary\"\nrecipients = [\"alice@example.test\"]";
    rig.plugin("guest@next", &manifest(canary), wasm.bytes);
    let host = rig.start().await;
    let (_, turns, _) = transaction(&host, 1).await;
    assert!(
        turns.iter().all(|turn| turn.mode == Mode::Canary),
        "{turns:?}"
    );
    let other = canary.replace("alice", "dora");
    rig.plugin("guest@next", &manifest(&other), wasm.bytes);
    host.reload().await;
    let (_, turns, _) = transaction(&host, 1).await;
    assert!(turns.iter().all(|turn| turn.version == "1"), "{turns:?}");
}

/// A manifest from its first table on.
fn without_head(manifest: &str) -> &str {
    manifest.find("\n[").map_or("", |at| &manifest[at..])
}

#[tokio::test]
async fn what_cannot_stand_beside_another_is_kept_out() {
    let rig = Rig::new();
    let alone = "mode = \"canary\"\nshare = 0.5";
    let for_some = "mode = \"canary\"\nrecipients = [\"*@example.test\"]";
    rig.plugin("a", &version("a", "1", "", ""), GUEST);
    rig.plugin("a@early", &version("a", "2", for_some, ""), GUEST);
    rig.plugin("a@one", &version("a", "3", "mode = \"shadow\"", ""), GUEST);
    rig.plugin("a@two", &version("a", "4", alone, ""), GUEST);
    rig.plugin("b@next", &version("b", "1", alone, ""), GUEST);
    rig.plugin("c", "mode = \"canary\"", GUEST);
    let generation = rig.start().await.generation();
    assert_eq!(generation.filters.len(), 1);
    for (key, expected) in [
        ("a@early", "on-connect is asked before"),
        ("a@two", "a 3 is tried already"),
        ("b@next", "no active b"),
        ("c", "needs either share"),
    ] {
        let why = kept_out(&generation, key);
        assert!(why.contains(expected), "{key}: {why}");
    }
}
