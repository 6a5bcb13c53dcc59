//! What keeps one plugin's trouble from the others: its share of the instances, its breaker; and warm instances, which are its own risk.

use super::*;
use wasmilter::mail::FailureKind;
use wasmilter::plugin::{BreakerConfig, BreakerState, Health, Services};

async fn health(host: &Host, name: &str) -> Health {
    host.health(Some(name)).await.remove(0)
}

fn breaker(health: &Health) -> BreakerState {
    health.versions[0].work.as_ref().unwrap().breaker
}

#[tokio::test]
async fn a_plugin_has_its_share_of_the_instances() {
    let rig = Rig::new();
    // What it prints in `load` keeps it from an image, so each instance takes that long to start, and is in its place meanwhile.
    let manifest = "[limits]\nconcurrency = 2\nwall-ms = 100\n[config]\nload = [\"print x\", \"sleep 500\"]\nmessage = [\"score X 1 a\"]";
    rig.plugin("narrow", manifest, GUEST);
    rig.guest("other", r#"message = ["score Y 1 a"]"#);
    let host = Host::start(Config {
        breaker: BreakerConfig {
            failures: 1,
            ..BreakerConfig::default()
        },
        ..rig.config()
    })
    .await
    .unwrap();
    let generation = host.generation();
    let narrow = filter(&generation, "narrow");
    let mut runs = [narrow.open(), narrow.open(), narrow.open()];
    let [one, two, three] = &mut runs;
    let (one, two, three) = tokio::join!(
        ask(one, Call::Message),
        ask(two, Call::Message),
        ask(three, Call::Message)
    );
    fine(&one);
    fine(&two);
    let failure = three.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Host);
    assert!(failure.text.contains("all 2 instances"), "{failure}");
    fine(&ask(&mut filter(&generation, "other").open(), Call::Message).await);
    drop(runs);
    // That there was no place is no fault of the plugin.
    fine(&ask(&mut narrow.open(), Call::Message).await);
    let health = health(&host, "narrow").await;
    assert_eq!(breaker(&health), BreakerState::Closed);
    let figures = &health.versions[0].work.as_ref().unwrap().figures;
    assert_eq!((figures.calls, figures.failures, figures.host), (4, 1, 1));
}

#[tokio::test]
async fn clients_that_say_nothing_more_after_mail_keep_no_other_from_a_filter() {
    let rig = Rig::new();
    let limits = "[limits]\nconcurrency = 4\nwall-ms = 1000\n";
    let script = "[config]\nmail = [\"remember x\"]\nmessage = [\"recall\"]";
    rig.plugin("fresh", &format!("{limits}{script}"), GUEST);
    rig.plugin("warm", &format!("warm = true\n{limits}{script}"), GUEST);
    let host = rig.start().await;
    for name in ["fresh", "warm"] {
        let filter = filter(&host.generation(), name);
        let mut idle = Vec::new();
        for _ in 0..12 {
            let mut run = filter.open();
            fine(&ask(&mut run, Call::Mail).await);
            idle.push(run);
        }
        let started = std::time::Instant::now();
        fine(&ask(&mut filter.open(), Call::Message).await);
        assert!(started.elapsed() < Duration::from_millis(900), "it waited");
        // So do those who come back.
        for run in &mut idle {
            fine(&ask(run, Call::Message).await);
        }
        let health = health(&host, name).await;
        assert_eq!(breaker(&health), BreakerState::Closed);
        let figures = &health.versions[0].work.as_ref().unwrap().figures;
        assert_eq!((figures.calls, figures.failures), (25, 0));
    }
}

#[tokio::test]
async fn one_that_fails_too_often_is_left_alone_and_tried_again() {
    let rig = Rig::new();
    rig.guest("guest", r#"rcpt = ["for bad@example.test panic no"]"#);
    let services = Services::default();
    let breaker_is = |state: u32| {
        let line = format!("filter_breaker{{filter=\"guest\",mode=\"active\"}} {state}\n");
        let metrics = services.metrics.text();
        assert!(metrics.contains(&line), "{line}: {metrics}");
        metrics
    };
    let host = Host::start(Config {
        breaker: BreakerConfig {
            failures: 3,
            pause: Duration::from_millis(200),
            ..BreakerConfig::default()
        },
        services: services.clone(),
        ..rig.config()
    })
    .await
    .unwrap();
    let at = async |text: &str| ask(&mut open(&host), Call::Rcpt(address(text))).await;
    fine(&at("alice@example.test").await);
    for _ in 0..3 {
        assert_eq!(
            at("bad@example.test").await.result.unwrap_err().kind,
            FailureKind::Trap
        );
    }
    let outcome = at("alice@example.test").await;
    assert_eq!(outcome.result.unwrap_err().kind, FailureKind::BreakerOpen);
    assert_eq!(outcome.host_calls, 0, "it was run");
    assert!(matches!(
        breaker(&health(&host, "guest").await),
        BreakerState::Open { .. }
    ));
    breaker_is(2);
    // A trial that succeeds closes it.
    while at("alice@example.test").await.result.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let health = health(&host, "guest").await;
    assert_eq!(breaker(&health), BreakerState::Closed);
    let metrics = breaker_is(0);
    for line in [
        "wasmilter_filter_breaker_openings_total{filter=\"guest\",mode=\"active\"} 1\n",
        "wasmilter_filter_failures_total{filter=\"guest\",kind=\"trap\"} 3\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let figures = &health.versions[0].work.as_ref().unwrap().figures;
    assert!(
        figures.failures > 3 && figures.failures == figures.refused + 3,
        "{figures:?}"
    );
    assert_eq!(
        (figures.calls - figures.failures, figures.in_flight),
        (2, 0)
    );
}

#[tokio::test]
async fn warm_instances_serve_one_transaction_after_another_until_something_is_wrong() {
    let rig = Rig::new();
    let script = "rcpt = [\"remember x\", \"recall\", \"for bad@example.test panic no\", \"for fat@example.test eat 30\", \"for odd@example.test sleep 60000\"]";
    rig.plugin(
        "warm",
        &format!("warm = true\n[limits]\nmemory-mib = 32\n[config]\n{script}"),
        GUEST,
    );
    rig.guest("fresh", script);
    let host = rig.start().await;
    let generation = host.generation();
    let at = async |name: &str, text: &str| {
        let mut run = filter(&generation, name).open();
        let outcome = ask(&mut run, Call::Rcpt(address(text))).await;
        logged(&outcome).join("")
    };
    for _ in 0..3 {
        assert_eq!(at("fresh", "alice@example.test").await, "x");
    }
    assert_eq!(at("warm", "alice@example.test").await, "x");
    assert_eq!(at("warm", "alice@example.test").await, "x,x");
    // A failure, a call that was broken off, memory: each ends its life.
    for bad in ["bad@example.test", "odd@example.test", "fat@example.test"] {
        let call = at("warm", bad);
        let _ = tokio::time::timeout(Duration::from_secs(2), call).await;
        assert_eq!(at("warm", "alice@example.test").await, "x", "after {bad}");
        assert_eq!(at("warm", "alice@example.test").await, "x,x", "after {bad}");
    }
    // Two at a time are two instances.
    let mut both = [
        filter(&generation, "warm").open(),
        filter(&generation, "warm").open(),
    ];
    let mut said = Vec::new();
    for run in &mut both {
        let outcome = ask(run, Call::Rcpt(alice())).await;
        said.push(logged(&outcome).join(""));
    }
    assert_eq!(said, ["x,x,x", "x"]);
}

/// `WASMILTER_RESTART_PLUGINS=50` tells how long a restart takes with so many.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_makes_no_image_again() {
    let count = std::env::var("WASMILTER_RESTART_PLUGINS").map_or(2, |text| text.parse().unwrap());
    let state = tempfile::tempdir().unwrap();
    let rig = Rig::new();
    for n in 0..count {
        rig.guest(&format!("guest-{n}"), &format!("load = [\"remember {n}\"]"));
    }
    let config = Config {
        state: Some(state.path().to_owned()),
        ..rig.config()
    };
    let stamps = || -> Vec<_> {
        let images = fs::read_dir(state.path().join("images")).unwrap();
        let mut stamps: Vec<_> = images
            .map(|image| image.unwrap().metadata().unwrap().modified().unwrap())
            .collect();
        stamps.sort();
        stamps
    };
    drop(Host::start(config.clone()).await.unwrap());
    let before = stamps();
    let started = std::time::Instant::now();
    let host = Host::start(config).await.unwrap();
    eprintln!("{count} plugins: a restart takes {:?}", started.elapsed());
    assert_eq!(host.generation().filters.len(), count);
    assert_eq!((before.len(), stamps()), (count, before));
}

#[tokio::test]
async fn a_start_image_is_kept_for_the_next_start_and_made_anew_if_it_is_damaged() {
    let state = tempfile::tempdir().unwrap();
    let rig = Rig::new();
    rig.guest(
        "guest",
        "load = [\"remember loaded\"]\nmessage = [\"recall\"]",
    );
    let config = Config {
        state: Some(state.path().to_owned()),
        ..rig.config()
    };
    let images = state.path().join("images");
    for round in 0..3 {
        let host = Host::start(config.clone()).await.unwrap();
        assert_eq!(
            logged(&at_message(&host).await),
            ["loaded"],
            "round {round}"
        );
        assert_eq!(status(&host.generation(), "guest").no_start_image, None);
        let image = fs::read_dir(&images)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        if round == 1 {
            fs::write(image, "damaged").unwrap();
        }
    }
    assert_eq!(fs::read_dir(&images).unwrap().count(), 1);
}
