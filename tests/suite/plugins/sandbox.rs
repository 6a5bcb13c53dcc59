//! What a filter has of the world, of other transactions, and of its own past.

use super::*;
use std::collections::HashSet;

#[tokio::test]
async fn there_is_no_system_to_see() {
    let (_rig, host) = scripted(r#"message = ["environment"]"#).await;
    assert_eq!(logged(&at_message(&host).await), ["[] [] false"]);
}

#[tokio::test]
async fn nothing_of_one_transaction_reaches_the_next() {
    let (_rig, host) = scripted(
        r#"
        load = ["remember loaded"]
        mail = ["remember mail"]
        message = ["remember message", "recall"]
    "#,
    )
    .await;
    assert_eq!(status(&host.generation(), "guest").no_start_image, None);
    for _ in 0..3 {
        let mut run = open(&host);
        fine(&ask(&mut run, Call::Mail).await);
        // What on-load left, and what this transaction did: no more.
        assert_eq!(
            logged(&ask(&mut run, Call::Message).await),
            ["loaded,mail,message"]
        );
        assert_eq!(
            logged(&ask(&mut run, Call::Message).await),
            ["loaded,mail,message,message"]
        );
    }
}

#[tokio::test]
async fn without_a_start_image_on_load_runs_in_each_instance() {
    // What is printed holds a handle of the system, which no image can.
    let (_rig, host) = scripted(
        r#"
        load = ["remember loaded", "print hello"]
        message = ["remember message", "recall", "print again"]
    "#,
    )
    .await;
    let why = status(&host.generation(), "guest").no_start_image;
    assert!(
        why.as_ref().is_some_and(|why| why.contains("did it print")),
        "{why:?}"
    );
    for _ in 0..3 {
        assert_eq!(
            logged(&at_message(&host).await),
            ["loaded,message", "again"]
        );
    }
}

#[tokio::test]
async fn randomness_is_random() {
    let (_rig, host) = scripted(r#"message = ["random"]"#).await;
    let mut seen = HashSet::new();
    for _ in 0..3 {
        seen.insert(at_message(&host).await.log[0].text.clone());
    }
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn a_plugin_asks_for_what_it_calls_and_no_more() {
    let rig = Rig::new();
    wasmilter::plugin::embedded::write_to(rig.path()).unwrap();
    let host = rig.start().await;
    let generation = host.generation();
    for plugin in &generation.plugins {
        assert!(plugin.abilities.len() < 10, "{plugin:?}");
        for none in ["types", "route"] {
            assert!(!plugin.abilities.contains(&none.to_owned()));
        }
    }
    let (_rig, host) = scripted("").await;
    let all = status(&host.generation(), "guest").abilities;
    // It can do all that its scripts can ask for.
    assert!(all.contains(&"route".to_owned()), "{all:?}");
}
