//! Versions of the contract: published ones stay as they were, and filters built with them go on working.

use super::*;
use sha2::{Digest, Sha256};

/// The scripted guest as it was compiled with contract 0.1.0.
static BUILT_WITH_0_1_0: &[u8] = include_bytes!("../../fixtures/contract-0.1.0.wasm");

#[tokio::test]
async fn a_filter_built_with_0_1_0_runs() {
    let rig = Rig::new();
    let manifest = r#"[config]
mail = ["score AT_MAIL 0.5 m"]
message = ["get Subject", "session", "parts", "score A 1 r", "authentication", "symbols", "flag \\Seen", "file Lists"]
deliver = ["argument", "reject 550 no"]
"#;
    let grants = "[\"*\"]\nabilities = [\"header-edit\", \"filing\"]\n";
    fs::write(rig.path().join("grants.toml"), grants).unwrap();
    rig.plugin("old", manifest, BUILT_WITH_0_1_0);
    let host = rig.start().await;
    let generation = host.generation();
    assert_eq!(
        generation.plugins[0].state,
        PluginState::Active,
        "{:?}",
        generation.plugins
    );

    let mut run = open(&host);
    assert_eq!(ask(&mut run, Call::Mail).await.symbols[0].name, "AT_MAIL");
    let outcome = ask(&mut run, Call::Message).await;
    fine(&outcome);
    assert_eq!(outcome.refused, Vec::<String>::new());
    assert!(logged(&outcome)[0].contains("Grüße"), "{outcome:?}");
    assert_eq!(outcome.edits.len(), 2);
    let outcome = ask(&mut run, Call::Deliver(alice())).await;
    assert!(matches!(outcome.result, Ok(Verdict::Reject(_))));
}

#[test]
fn published_versions_are_as_they_were() {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/wit");
    let page = fs::read_to_string(wit.join("README.md")).unwrap();
    let mut compared = 0;
    for entry in fs::read_dir(wit.join("frozen")).unwrap() {
        let path = entry.unwrap().path();
        let digest = Sha256::digest(fs::read(&path).unwrap());
        let digest: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let version = name.strip_prefix("filter-").unwrap();
        let row = format!("| {version} | `{digest}` |");
        assert!(
            page.contains(&row),
            "sdk/wit/README.md has no {row}: a published version must not be edited"
        );
        compared += 1;
    }
    assert!(compared > 0);
}
