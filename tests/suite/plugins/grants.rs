//! Grants: what is not granted keeps a plugin out, and what exceeds a narrowing is refused at the call.

use super::*;
use wasmilter::mail::{Edit, FailureKind};

fn file(rig: &Rig) -> std::path::PathBuf {
    rig.path().join("grants.toml")
}

fn grant(rig: &Rig, text: &str) {
    fs::write(file(rig), text).unwrap();
}

/// On a file of grants, as a server.
async fn strict(rig: &Rig) -> Host {
    Host::start(Config {
        grants: Granting::File(file(rig)),
        ..rig.config()
    })
    .await
    .unwrap()
}

/// The guest can do more than these tests are about.
const UNUSED: &str = "[capabilities]\nunused = [\"kv\", \"dns\", \"wasi:http\", \"route\", \"body-edit\", \"envelope-edit\"]\n";
/// All that it can do besides what all may.
const ALL_UNUSED: &str = "[capabilities]\nunused = [\"header-edit\", \"filing\", \"kv\", \"dns\", \"wasi:http\", \"route\", \"body-edit\", \"envelope-edit\"]\n";

/// The guest, of which only edits of the header and filing need a grant.
fn guest(rig: &Rig, name: &str, more: &str) {
    rig.plugin(name, &format!("{UNUSED}{more}"), GUEST);
}

const BOTH: &str = "[one]\nabilities = [\"header-edit\", \"filing\"]\n";

#[tokio::test]
async fn a_plugin_stays_out_until_the_line_that_was_named_is_there() {
    let rig = Rig::new();
    guest(&rig, "one", "[config]\nmessage = [\"add X-A 1\"]");
    let host = strict(&rig).await;
    let first = host.generation();
    assert!(first.filters.is_empty());
    let why = kept_out(&first, "one");
    let (said, lines) = why.split_once(":\n").unwrap();
    assert_eq!(
        said,
        format!(
            "one asks for header-edit, filing, which it is not granted: add to {}",
            file(&rig).display()
        )
    );

    grant(&rig, lines);
    let second = host.reload().await;
    assert_eq!(status(&second, "one").state, PluginState::Active);
    assert_eq!(second.number, first.number + 1);
    assert_eq!(at_message(&host).await.edits.len(), 1);

    // Half of it is not enough; the line that would do has what is there already.
    grant(&rig, "[one]\nabilities = [\"filing\"]\n");
    let third = host.reload().await;
    assert!(third.filters.is_empty());
    let why = kept_out(&third, "one");
    assert!(
        why.contains("asks for header-edit, which") && why.contains(lines.lines().last().unwrap()),
        "{why}"
    );
    assert_eq!(third.number, second.number + 1);

    fs::remove_file(file(&rig)).unwrap();
    assert!(host.reload().await.filters.is_empty());
    grant(&rig, "[\"*\"]\nabilities = [\"*\"]\n");
    assert_eq!(host.reload().await.filters.len(), 1);
}

#[tokio::test]
async fn a_broken_file_leaves_the_former_grants_in_force() {
    let rig = Rig::new();
    guest(&rig, "one", "");
    grant(&rig, BOTH);
    let host = strict(&rig).await;
    for (text, said) in [
        ("[one\n".to_owned(), "line 1"),
        (
            "[one]\nabilities = [\"heading-edit\"]".to_owned(),
            "line 2, column 14: there is no ability \"heading-edit\"",
        ),
        ("# ".repeat(600_000), "larger than 1048576 octets"),
    ] {
        grant(&rig, &text);
        let generation = host.reload().await;
        assert_eq!(status(&generation, "one").state, PluginState::Active);
        let problem = generation.problem.clone().unwrap();
        assert!(
            problem.contains("grants.toml") && problem.contains(said) && problem.contains("former"),
            "{problem}"
        );
    }
    fs::remove_file(file(&rig)).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(file(&rig))
        .status();
    assert!(made.unwrap().success());
    let generation = host.reload().await;
    assert_eq!(status(&generation, "one").state, PluginState::Active);
    assert!(generation.problem.clone().unwrap().contains("is a pipe"));
    fs::remove_file(file(&rig)).unwrap();
    grant(&rig, BOTH);
    let generation = host.reload().await;
    assert_eq!((generation.number, generation.problem.clone()), (1, None));
}

#[tokio::test]
async fn a_file_that_is_broken_at_the_start_grants_nothing() {
    let rig = Rig::new();
    guest(&rig, "one", "");
    rig.plugin("harmless", ALL_UNUSED, GUEST);
    grant(&rig, "[one]\nabilities = 3\n");
    let host = strict(&rig).await;
    let generation = host.generation();
    assert!(kept_out(&generation, "one").contains("header-edit"));
    assert_eq!(status(&generation, "harmless").state, PluginState::Active);
    assert!(
        generation
            .problem
            .clone()
            .unwrap()
            .contains("line 2, column 13")
    );
}

#[tokio::test]
async fn an_upgrade_that_asks_for_more_stays_out_until_it_is_granted() {
    let rig = Rig::new();
    let script = |version: &str| format!("[config]\nmessage = [\"score V{version} 1 a\"]\n");
    rig.plugin("one", &format!("{ALL_UNUSED}{}", script("1")), GUEST);
    let host = strict(&rig).await;
    assert_eq!(host.generation().filters.len(), 1);

    guest(&rig, "one", &script("2"));
    let generation = host.reload().await;
    let PluginState::Previous(why) = status(&generation, "one").state else {
        panic!("{:?}", generation.plugins);
    };
    assert!(why.contains("one asks for header-edit, filing"), "{why}");
    assert_eq!(at_message(&host).await.symbols[0].name, "V1");

    // The version at work goes by grants too.
    grant(&rig, "[\"*\"]\nabilities = [\"config\"]\n");
    let generation = host.reload().await;
    assert!(generation.filters.is_empty(), "{:?}", generation.plugins);
    assert!(kept_out(&generation, "one").contains("one asks for"));

    grant(&rig, BOTH);
    assert_eq!(host.reload().await.filters.len(), 1);
    assert_eq!(at_message(&host).await.symbols[0].name, "V2");
}

#[tokio::test]
async fn what_exceeds_a_narrowing_is_refused_and_the_filter_goes_on() {
    let rig = Rig::new();
    let manifest = r#"
header-edit = ["X-*"]
filing = ["Lists/*"]

[config]
message = ["add X-Spam-A 1", "add X-Other 1", "change Subject x", "remove To", "insert Y-A", "file Lists/a", "file Junk", "score END 1 r"]
"#;
    guest(&rig, "one", manifest);
    grant(&rig, &format!("{BOTH}header-edit = [\"X-Spam-*\"]\n"));
    let host = strict(&rig).await;
    let outcome = at_message(&host).await;
    fine(&outcome);
    assert_eq!(outcome.symbols[0].name, "END");
    assert_eq!(outcome.edits.len(), 2, "{:?}", outcome.edits);
    assert!(
        matches!(&outcome.edits[1].edit, Edit::FileInto { mailbox, .. } if mailbox == "Lists/a")
    );
    let expected = [
        "header-edit.add: not-granted: one may use header-edit on X-Spam-*, not on \"X-Other\"; under [one] in grants.toml, write: header-edit = [\"X-Spam-*\", \"X-Other\"]",
        "header-edit.change: not-granted: one may use header-edit on X-*, not on \"Subject\"; under [capabilities] in its plugin.toml, write: header-edit = [\"X-*\", \"Subject\"]",
        "header-edit.remove: not-granted",
        "header-edit.insert: not-granted",
        "filing.file-into: not-granted: one may use filing on Lists/*, not on \"Junk\"",
    ];
    assert_eq!(
        outcome.refused.len(),
        expected.len(),
        "{:?}",
        outcome.refused
    );
    for (refused, expected) in outcome.refused.iter().zip(expected) {
        assert!(refused.starts_with(expected), "{refused}");
    }

    // Other patterns are in force for what begins then; the plugin itself stays as it is.
    let before = status(&host.generation(), "one");
    let mut begun = open(&host);
    assert_eq!(ask(&mut begun, Call::Message).await.edits.len(), 2);
    grant(&rig, BOTH);
    let after = status(&host.reload().await.clone(), "one");
    assert_eq!(after.loaded_at, before.loaded_at);
    assert!(
        after.capabilities.contains(&"header-edit (X-*)".to_owned()),
        "{after:?}"
    );
    assert_eq!(at_message(&host).await.edits.len(), 3);
    assert_eq!(ask(&mut begun, Call::Message).await.edits.len(), 2);
}

/// Whoever took the filter when this number began has it for as long as the number stays.
#[tokio::test]
async fn grants_are_in_force_for_a_version_that_was_broken_meanwhile() {
    let rig = Rig::new();
    let state = tempfile::tempdir().unwrap();
    let version = || guest(&rig, "one", "[config]\nmessage = [\"add X-A 1\"]");
    version();
    grant(&rig, BOTH);
    let host = Host::start(Config {
        grants: Granting::File(file(&rig)),
        state: Some(state.path().to_owned()),
        ..rig.config()
    })
    .await
    .unwrap();
    let taken = filter(&host.generation(), "one");
    assert_eq!(ask(&mut taken.open(), Call::Message).await.edits.len(), 1);
    fs::write(rig.path().join("one/filter.wasm"), "broken").unwrap();
    let generation = host.reload().await;
    assert!(matches!(
        status(&generation, "one").state,
        PluginState::Previous(_)
    ));
    version();
    let generation = host.reload().await;
    assert_eq!(generation.number, 1);
    assert_eq!(status(&generation, "one").state, PluginState::Active);
    // Held to what lies in the directory, and let go.
    host.pin("one", None).await.unwrap();
    host.unpin("one").await.unwrap();
    grant(&rig, &format!("{BOTH}header-edit = [\"X-Spam-*\"]\n"));
    let generation = host.reload().await;
    assert_eq!(generation.number, 1);
    let outcome = ask(&mut taken.open(), Call::Message).await;
    assert_eq!(outcome.edits.len(), 0, "{outcome:?}");
    assert!(outcome.refused[0].contains("not-granted"), "{outcome:?}");
    let health = host.health(Some("one")).await.remove(0);
    let figures = &health.versions[0].work.as_ref().unwrap().figures;
    assert_eq!(figures.calls, 2);
}

#[tokio::test]
async fn what_is_taken_away_is_taken_from_warm_instances_too() {
    let rig = Rig::new();
    let manifest = format!(
        "warm = true\n{UNUSED}[config]\nmessage = [\"remember x\", \"recall\", \"add X-A 1\"]"
    );
    rig.plugin("one", &manifest, GUEST);
    grant(&rig, BOTH);
    let host = strict(&rig).await;
    for (remembered, edits, narrowed) in [
        ("x", 1, ""),
        ("x,x", 1, "header-edit = [\"X-Spam-*\"]\n"),
        ("x", 0, "header-edit = [\"X-Spam-*\"]\n"),
    ] {
        let outcome = at_message(&host).await;
        assert_eq!(logged(&outcome).join(""), remembered);
        assert_eq!(outcome.edits.len(), edits, "{remembered}: {outcome:?}");
        grant(&rig, &format!("{BOTH}{narrowed}"));
        if !narrowed.is_empty() {
            host.reload().await;
        }
    }
}

#[tokio::test]
async fn a_verdict_that_is_not_granted_is_a_failure() {
    let rig = Rig::new();
    let manifest = "[config]\nmessage = [\"score A 1 r\", \"accept\"]\ndeliver = [\"discard\"]\n";
    guest(&rig, "one", manifest);
    grant(&rig, BOTH);
    let host = strict(&rig).await;
    let outcome = at_message(&host).await;
    let failure = outcome.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::BadAnswer);
    assert!(
        failure.text.starts_with("one answered accept, which it is not granted; under [one] in grants.toml, write: verdicts = ["),
        "{failure}"
    );
    assert!(outcome.symbols.is_empty());
    let deliver = ask(&mut open(&host), Call::Deliver(alice())).await;
    assert_eq!(deliver.result, Ok(Verdict::Discard));

    grant(&rig, &format!("{BOTH}verdicts = [\"accept\"]\n"));
    host.reload().await;
    assert_eq!(at_message(&host).await.result, Ok(Verdict::Accept));
    let deliver = ask(&mut open(&host), Call::Deliver(alice())).await;
    assert!(deliver.result.is_err());

    guest(&rig, "one", &format!("verdicts = []\n{manifest}"));
    host.reload().await;
    let failure = at_message(&host).await.result.unwrap_err();
    assert!(
        failure.text.contains("[capabilities] in its plugin.toml"),
        "{failure}"
    );
}

#[tokio::test]
async fn what_the_manifest_calls_unused_ends_the_call() {
    let rig = Rig::new();
    let script = "[config]\nmessage = [\"score A 1 r\"]\ndeliver = [\"file Junk\"]\n";
    rig.plugin("one", &format!("{ALL_UNUSED}{script}"), GUEST);
    let host = strict(&rig).await;
    fine(&at_message(&host).await);
    let outcome = ask(&mut open(&host), Call::Deliver(alice())).await;
    let failure = outcome.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Trap);
    assert!(
        failure
            .text
            .contains("its plugin.toml says that filing is unused"),
        "{failure}"
    );
}
