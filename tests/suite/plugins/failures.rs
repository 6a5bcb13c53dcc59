//! A filter can fail; the host says how, drops what it asked for, and goes on.

use super::*;
use std::time::Instant;
use wasmilter::mail::FailureKind;
use wasmilter::plugin::BreakerConfig;

async fn failing(limits: &str, step: &str) -> (FailureKind, String) {
    let rig = Rig::new();
    let script = format!(
        "limits = {{ {limits} }}\n[config]\nmessage = [\"score X 1 a\", \"add X-A 1\", \"file Junk\", {step:?}]"
    );
    rig.plugin("guest", &script, GUEST);
    let host = rig.start().await;
    let outcome = at_message(&host).await;
    assert!(
        outcome.edits.is_empty() && outcome.symbols.is_empty(),
        "{outcome:?}"
    );
    let failure = outcome.result.unwrap_err();
    (failure.kind, failure.text)
}

#[tokio::test]
async fn each_failure_has_its_kind() {
    let table = [
        (
            "cpu-ms = 50, wall-ms = 60000",
            "loop",
            FailureKind::Timeout,
            "50 ms",
        ),
        (
            "wall-ms = 300",
            "sleep 60000",
            FailureKind::Timeout,
            "no answer within 300 ms",
        ),
        (
            "memory-mib = 8",
            "eat 100",
            FailureKind::OutOfMemory,
            "8 MiB",
        ),
        (
            "",
            "panic the sky falls",
            FailureKind::Trap,
            "the sky falls",
        ),
        ("", "exit 7", FailureKind::Trap, "exit code"),
        (
            "",
            "times 1000 random-octets 1048576",
            FailureKind::Trap,
            "exceeds limit",
        ),
        ("", "reject 250 5 fine", FailureKind::BadAnswer, "code 250"),
        (
            "",
            "reject 550 4 no",
            FailureKind::BadAnswer,
            "enhanced code 4.7.1",
        ),
        (
            "",
            "tempfail 550 4 no",
            FailureKind::BadAnswer,
            "400 to 499",
        ),
        (
            "",
            "reject 550 5 no\\n250 yes",
            FailureKind::BadAnswer,
            "line",
        ),
    ];
    for (limits, step, kind, text) in table {
        let (found, said) = failing(limits, step).await;
        assert_eq!(found, kind, "{step}: {said}");
        assert!(said.contains(text), "{step}: {said}");
    }
}

#[tokio::test]
async fn a_loop_does_not_hold_others_up() {
    // One thread for all of them.
    let rig = Rig::new();
    rig.plugin(
        "looping",
        "[limits]\ncpu-ms = 300\nwall-ms = 60000\n[config]\nmessage = [\"loop\"]",
        GUEST,
    );
    rig.guest("quick", r#"message = ["score X 1 a"]"#);
    let host = rig.start().await;
    let generation = host.generation();
    let looping = tokio::spawn({
        let mut run = filter(&generation, "looping").open();
        async move { ask(&mut run, Call::Message).await }
    });
    let quick = filter(&generation, "quick");
    let mut asked = 0;
    let started = Instant::now();
    while !looping.is_finished() {
        fine(&ask(&mut quick.open(), Call::Message).await);
        asked += 1;
        tokio::task::yield_now().await;
    }
    assert!(asked > 5, "{asked} in {:?}", started.elapsed());
    assert_eq!(
        looping.await.unwrap().result.unwrap_err().kind,
        FailureKind::Timeout
    );
}

#[tokio::test]
async fn the_pool_survives_failures_and_full_use() {
    let rig = Rig::new();
    rig.guest("guest", r#"message = ["panic again"]"#);
    let never = BreakerConfig {
        failures: 0,
        ..BreakerConfig::default()
    };
    let host = Host::start(Config {
        breaker: never,
        ..rig.config()
    })
    .await
    .unwrap();
    for _ in 0..50 {
        assert_eq!(
            at_message(&host).await.result.unwrap_err().kind,
            FailureKind::Trap
        );
    }
    // More at a time than there are places: they wait for each other.
    let rig = Rig::new();
    rig.guest("guest", r#"message = ["sleep 5"]"#);
    let host = Host::start(Config {
        instances: 3,
        ..rig.config()
    })
    .await
    .unwrap();
    let runs: Vec<_> = (0..12)
        .map(|_| {
            let mut run = open(&host);
            tokio::spawn(async move { ask(&mut run, Call::Message).await })
        })
        .collect();
    for run in runs {
        fine(&run.await.unwrap());
    }
}

#[tokio::test]
async fn a_dropped_call_leaves_nothing_behind() {
    let (_rig, host) = scripted(r#"message = ["sleep 60000"]"#).await;
    for _ in 0..40 {
        let mut run = open(&host);
        let call = ask(&mut run, Call::Message);
        assert!(
            tokio::time::timeout(Duration::from_millis(2), call)
                .await
                .is_err()
        );
    }
}
