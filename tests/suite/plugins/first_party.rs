//! The plugins that come with the program, as they come.

use super::*;
use crate::corpus::wire;
use wasmilter::chain::{Chain, Draft, Run};
use wasmilter::plugin::embedded;

/// With all of them; `warm` as their manifests say it, or not at all.
async fn host(rig: &Rig, warm: bool) -> Host {
    embedded::write_to(rig.path()).unwrap();
    for plugin in embedded::EMBEDDED {
        let path = rig.path().join(plugin.name).join("plugin.toml");
        let manifest = fs::read_to_string(&path).unwrap();
        let cold = manifest.replace("\nwarm = true ", "\nwarm = false ");
        assert_ne!(cold, manifest, "{} is not warm", plugin.name);
        if !warm {
            fs::write(path, cold).unwrap();
        }
    }
    rig.start().await
}

/// What each of them makes of a message and of its delivery to alice.
async fn made(host: &Host, octets: &[u8]) -> Vec<String> {
    let generation = host.generation();
    let chain = Chain {
        generation: generation.number,
        filters: generation.filters.iter().cloned().collect(),
    };
    assert_eq!(chain.filters.len(), embedded::EMBEDDED.len());
    let mut envelope = Arc::new(Envelope {
        recipients: vec![Recipient::from(alice())],
        ..Envelope::default()
    });
    let message = Message::new(Content::from_bytes(wire(octets))).unwrap();
    let mut draft = Draft::new(message, &envelope.recipients);
    let mut run = Run::new(chain, Arc::default(), None);
    run.message(&mut envelope, &mut draft).await;
    run.deliver(alice(), &envelope, &mut draft).await;
    let turns = run.end().turns;
    let made = turns.iter().map(|turn| {
        assert!(turn.result.is_ok(), "{turn:?}");
        format!(
            "{}: {:?} {:?} {:?} {:?}",
            turn.filter, turn.result, turn.symbols, turn.edits, turn.refused
        )
    });
    made.collect()
}

#[tokio::test]
async fn those_that_stay_warm_keep_nothing_of_a_message() {
    let (rigs, mail) = ([Rig::new(), Rig::new()], "examples/mail");
    let fresh = host(&rigs[0], false).await;
    let warm = host(&rigs[1], true).await;
    let mut messages = Vec::new();
    crate::corpus::files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join(mail),
        &mut messages,
    );
    messages.retain(|file| file.extension().is_some_and(|ending| ending == "eml"));
    messages.sort();
    assert!(messages.len() > 30);
    let mut expected = Vec::new();
    for file in &messages {
        expected.push(made(&fresh, &fs::read(file).unwrap()).await);
    }
    let kinds: std::collections::HashSet<_> = expected.iter().collect();
    assert!(kinds.len() > 20, "all are treated alike");
    let there = messages.iter().zip(&expected);
    for (file, expected) in there.clone().chain(there.rev()) {
        let made = made(&warm, &fs::read(file).unwrap()).await;
        assert_eq!(made, *expected, "{}", file.display());
    }
}
