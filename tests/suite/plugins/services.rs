//! The services of the host: what plugins keep, look up and count, and that all of it is journalled and bounded.

use super::*;
use crate::support::dns::{Dns, Otherwise, Zone};
use crate::support::{self, Server};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;
use wasmilter::app::App;
use wasmilter::config::Protocol;
use wasmilter::kv::Database;
use wasmilter::mail::{Clock, FailureKind};
use wasmilter::plugin::Services;

/// A host with one scripted guest and these services.
async fn with(services: Services, script: &str) -> (Rig, Host) {
    let rig = Rig::new();
    rig.guest("guest", script);
    let config = Config {
        services,
        ..rig.config()
    };
    let host = Host::start(config).await.unwrap();
    (rig, host)
}

fn reaching(dns: &Dns) -> Services {
    Services {
        dns: Some(Arc::new(dns.resolver())),
        ..Services::default()
    }
}

/// "what argument: result" of each call.
fn called(outcome: &Outcome) -> Vec<String> {
    let calls = outcome.calls.iter();
    calls
        .map(|call| format!("{} {}: {}", call.what, call.argument, call.result))
        .collect()
}

#[tokio::test]
async fn what_a_plugin_keeps_is_its_own_and_survives_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("plugins.db");
    let services = || Services {
        kv: Arc::new(Database::open(&path).unwrap()),
        ..Services::default()
    };
    let script = r#"message = ["kv get a", "kv set a one", "kv increment n 5", "kv swap a one two", "kv swap a one three", "kv get a",
        "kv set b x", "kv scan ", "kv delete b", "kv delete b"]"#;
    {
        let (rig, host) = with(services(), script).await;
        let outcome = at_message(&host).await;
        fine(&outcome);
        assert_eq!(
            logged(&outcome),
            [
                "Ok(None)",
                "Ok(())",
                "Ok(5)",
                "Ok(true)",
                "Ok(false)",
                "Ok(Some(\"two\"))",
                "Ok(())",
                "a|b|n",
                "Ok(true)",
                "Ok(false)"
            ]
        );
        let called = called(&outcome);
        assert_eq!(
            called[..4],
            [
                "kv.get a: none",
                "kv.set a: \"one\"",
                "kv.increment n: 5",
                "kv.compare-and-set a: true"
            ]
        );
        // A new version of the plugin has what the old one kept.
        rig.guest("guest", r#"message = ["kv get a"]"#);
        host.reload().await;
        assert_eq!(logged(&at_message(&host).await), ["Ok(Some(\"two\"))"]);
    }
    let (rig, host) = with(services(), script).await;
    assert_eq!(
        logged(&at_message(&host).await)[..3],
        ["Ok(Some(\"two\"))", "Ok(())", "Ok(10)"]
    );
    rig.guest("other", r#"message = ["kv get a"]"#);
    let generation = host.reload().await;
    let mut other = filter(&generation, "other").open();
    assert_eq!(logged(&ask(&mut other, Call::Message).await), ["Ok(None)"]);
}

#[tokio::test]
async fn the_store_is_bounded_and_says_so() {
    let (_rig, host) = with(
        Services::default(),
        r#"message = ["kv fill k 65536", "kv fill k 65537", "kv increment k 1", "kv get ", "times 300 kv set k{n} x"]"#,
    )
    .await;
    let outcome = at_message(&host).await;
    fine(&outcome);
    let logged = logged(&outcome);
    assert_eq!(logged[0], "Ok(())");
    for (n, part) in [(1, "TooMuch"), (2, "BadValue"), (3, "BadValue")] {
        assert!(logged[n].contains(part), "{}", logged[n]);
    }
    assert!(
        outcome.refused[0].contains("the limit is 65536"),
        "{:?}",
        outcome.refused
    );
    // A flood is counted, not listed.
    let called = called(&outcome);
    assert_eq!(called.len(), 101);
    assert_eq!(called[100], "further calls : 204");
}

#[tokio::test]
async fn a_flood_of_calls_ends_in_refusals() {
    let (_rig, host) = with(Services::default(), r#"message = ["times 10100 kv get k"]"#).await;
    let outcome = at_message(&host).await;
    assert!(
        outcome
            .refused
            .iter()
            .any(|text| text.contains("kv 10000 times")),
        "{:?} {:?}",
        outcome.result,
        outcome.refused.first()
    );
}

#[tokio::test]
async fn services_do_not_answer_while_a_plugin_is_loaded() {
    let (_rig, host) = with(
        Services::default(),
        r#"load = ["kv set a x", "dns a example.test", "count loads 1"]
           message = ["kv get a"]"#,
    )
    .await;
    assert_eq!(logged(&at_message(&host).await), ["Ok(None)"]);
}

#[tokio::test]
async fn names_are_looked_up() {
    let zone = Zone::default()
        .host("mx.example.test", "192.0.2.7".parse().unwrap())
        .address("mx.example.test", "2001:db8::7".parse().unwrap())
        .mx("example.test", 20, "backup.example.test")
        .mx("example.test", 10, "mx.example.test")
        .txt("example.test", &[b"v=spf1 ", b"-all"])
        .cname("www.example.test", "mx.example.test");
    let dns = Dns::start(zone).await;
    let script = r#"message = ["dns a mx.example.test", "dns aaaa mx.example.test.", "dns mx example.test", "dns txt example.test",
        "dns ptr 192.0.2.7", "dns a nobody.example.test", "dns mx mx.example.test", "dns a not_a name"]"#;
    let (_rig, host) = with(reaching(&dns), &script.replace("not_a name", "not..a")).await;
    let outcome = at_message(&host).await;
    fine(&outcome);
    let logged = logged(&outcome);
    assert_eq!(
        logged[..7],
        [
            "Ok([192.0.2.7])",
            "Ok([2001:db8::7])",
            "Ok([(10, \"mx.example.test\"), (20, \"backup.example.test\")])",
            "Ok([\"v=spf1 -all\"])",
            "Ok([\"mx.example.test\"])",
            "Ok([])",
            "Ok([])",
        ]
    );
    assert!(logged[7].contains("BadValue"), "{}", logged[7]);
    assert_eq!(
        called(&outcome)[0],
        "dns.lookup A mx.example.test: 192.0.2.7"
    );
    // All filters' answers are cached together.
    let asked = dns.queries();
    at_message(&host).await;
    assert_eq!(dns.queries(), asked);
}

#[tokio::test]
async fn dns_lists_are_asked() {
    let listing =
        |zone: Zone, name: &str, address: &str| zone.address(name, address.parse().unwrap());
    let zone = listing(Zone::default(), "1.2.0.192.bl.example.test", "127.0.0.2");
    let zone = listing(zone, "1.2.0.192.bl.example.test", "127.0.0.4");
    let zone = listing(zone, "bad.example.dbl.example.test", "127.0.1.2");
    let zone = listing(zone, "1.2.0.192.parked.example.test", "203.0.113.9");
    let v6 = format!(
        "{}.bl.example.test",
        ["1", &"0.".repeat(23), "8.b.d.0.1.0.0.2"]
            .join(".")
            .replace("..", ".")
    );
    let zone = listing(zone, &v6, "127.0.0.3");
    let dns = Dns::start(zone).await;
    let script = r#"message = ["dns listed bl.example.test 192.0.2.1", "dns listed bl.example.test 192.0.2.2", "dns listed bl.example.test 2001:db8::1",
        "dns listed dbl.example.test bad.example", "dns listed parked.example.test 192.0.2.1"]"#;
    let (_rig, host) = with(reaching(&dns), script).await;
    let outcome = at_message(&host).await;
    let mut found = logged(&outcome);
    // Their order is the server's.
    assert!(found.remove(0).contains("127.0.0.4"), "{found:?}");
    assert_eq!(
        found,
        [
            "Ok([])",
            "Ok([\"127.0.0.3\"])",
            "Ok([\"127.0.1.2\"])",
            "Ok([])"
        ]
    );
}

#[tokio::test]
async fn no_answer_is_no_good_answer() {
    let zone = Zone::default()
        .otherwise("silent.example.test", Otherwise::Silence)
        .otherwise(
            "broken.example.test",
            Otherwise::Error(hickory_server::proto::op::ResponseCode::ServFail),
        );
    let dns = Dns::start(zone).await;
    let script = r#"message = ["dns a silent.example.test", "dns a broken.example.test"]"#;
    let (_rig, host) = with(reaching(&dns), script).await;
    let outcome = at_message(&host).await;
    fine(&outcome);
    assert!(
        logged(&outcome).iter().all(|line| line.contains("Failed")),
        "{outcome:?}"
    );
    assert!(called(&outcome)[0].contains("failed: "), "{outcome:?}");
    let (_rig, host) = with(Services::default(), script).await;
    assert!(logged(&at_message(&host).await)[0].contains("there is no DNS here"));
}

#[tokio::test]
async fn questions_are_counted_for_each_hook() {
    let dns = Dns::start(Zone::default()).await;
    let script = r#"rcpt = ["times 30 dns a n{n}.example.test"]"#;
    let (_rig, host) = with(reaching(&dns), script).await;
    let mut run = open(&host);
    for _ in 0..2 {
        let outcome = ask(&mut run, Call::Rcpt(alice())).await;
        fine(&outcome);
        assert_eq!((outcome.calls.len(), outcome.refused.len()), (20, 10));
    }
}

#[tokio::test]
async fn the_clock_and_chance_can_be_given() {
    struct Noon;
    impl Clock for Noon {
        fn now(&self) -> jiff::Timestamp {
            "2020-02-02T12:00:00Z".parse().unwrap()
        }
        fn transaction_id(&self) -> TransactionId {
            TransactionId::new(0, 0)
        }
    }
    let services = Services {
        clock: Some(Arc::new(Noon)),
        random: Some(vec![7]),
        ..Services::default()
    };
    let (_rig, host) = with(services, r#"message = ["now", "random"]"#).await;
    assert_eq!(
        logged(&at_message(&host).await),
        ["1580644800", "[7, 7, 7, 7, 7, 7, 7, 7]"]
    );
}

/// Nothing interrupts the host in the middle of a call, so it is counted afterwards.
#[tokio::test]
async fn what_the_host_does_for_a_plugin_is_the_plugins_time() {
    struct Slow;
    impl Clock for Slow {
        fn now(&self) -> jiff::Timestamp {
            let started = Instant::now();
            while started.elapsed() < Duration::from_millis(50) {
                std::hint::spin_loop();
            }
            jiff::Timestamp::UNIX_EPOCH
        }
        fn transaction_id(&self) -> TransactionId {
            TransactionId::new(0, 0)
        }
    }
    let ask = async |steps: &str, services: Services| {
        let rig = Rig::new();
        let manifest = format!("[limits]\ncpu-ms = 100\n[config]\nmessage = [\"{steps}\"]");
        rig.plugin("guest", &manifest, GUEST);
        let config = Config {
            services,
            ..rig.config()
        };
        at_message(&Host::start(config).await.unwrap()).await
    };
    let slow = Services {
        clock: Some(Arc::new(Slow)),
        ..Services::default()
    };
    let failure = ask("times 10 now", slow).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert_eq!(failure.text, "it ran for more than 100 ms");
    // What it waits for is not.
    fine(&ask("times 50 sleep 6", Services::default()).await);
}

#[tokio::test]
async fn settings_have_types() {
    let script = r#"message = ["setting text settings.word", "setting integer settings.count", "setting number settings.share", "setting number settings.count",
        "setting truth settings.on", "setting texts settings.lists.blocked", "setting text settings.count", "setting text nothing", "setting texts settings.mixed"]
        [config.settings]
        word = "x"
        count = 3
        share = 0.5
        on = true
        mixed = ["a", 1]
        lists.blocked = ["a", "b"]"#;
    let (_rig, host) = with(Services::default(), script).await;
    assert_eq!(
        logged(&at_message(&host).await),
        [
            "Some(\"x\")",
            "Some(3)",
            "Some(0.5)",
            "Some(3.0)",
            "Some(true)",
            "Some([\"a\", \"b\"])",
            "None",
            "None",
            "None"
        ]
    );
}

#[tokio::test]
async fn plugins_count_for_the_servers_metrics() {
    let services = Services::default();
    let metrics = services.metrics.clone();
    let script = r#"message = ["count seen 2 kind=list", "observe took 0.2", "count Bad 1", "score X 1 y", "times 120 count flood 1 sender={n}", "count refused_loads 41", "count reloads_total 7"]"#;
    let (_rig, host) = with(services, script).await;
    let outcome = at_message(&host).await;
    fine(&outcome);
    assert!(
        outcome.refused[0].contains("\"Bad\""),
        "{:?}",
        outcome.refused
    );
    let text = metrics.text();
    for line in [
        "wasmilter_plugin_seen_total{plugin=\"guest\",kind=\"list\"} 2",
        "wasmilter_plugin_took_sum{plugin=\"guest\"} 0.2",
        "wasmilter_plugin_flood_total{plugin=\"guest\",sender=\"other\"} 22",
        "wasmilter_filter_calls_total{filter=\"guest\",hook=\"message\",result=\"continue\"} 1",
        "wasmilter_filter_symbols_total{filter=\"guest\"} 1",
        "wasmilter_filter_refused_total{filter=\"guest\"} 3",
        "wasmilter_generation 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let types: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("# TYPE "))
        .collect();
    assert_eq!(types.iter().collect::<HashSet<_>>().len(), types.len());
}

/// Connects, reads the greeting and leaves.
fn visit(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("220 "));
    stream.write_all(b"QUIT\r\n").unwrap();
    assert!(lines.next().unwrap().unwrap().starts_with("221 "));
}

fn http(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_sums_up_over_connections_and_restarts() {
    let prepare = |home: &Path| {
        let folder = home.join("plugins/guest");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("filter.wasm"), GUEST).unwrap();
        let manifest = "[config]\nconnect = [\"kv increment visits 1\", \"count visits 1\"]\n";
        fs::write(folder.join("plugin.toml"), manifest).unwrap();
    };
    let mut server = Server::with("[plugins]\ndirectory = \"plugins\"\n", prepare).await;
    for round in 1..=2 {
        let smtp = server.smtp();
        let visits =
            (0..20).map(|_| tokio::task::spawn_blocking(move || (0..5).for_each(|_| visit(smtp))));
        for visit in visits.collect::<Vec<_>>() {
            visit.await.unwrap();
        }
        let address = server.address(Protocol::Http);
        let text = tokio::task::spawn_blocking(move || http(address, "/metrics"));
        let text = text.await.unwrap();
        assert!(
            text.contains("content-type: application/openmetrics-text"),
            "{text}"
        );
        // Counted since the start.
        let line = "wasmilter_plugin_visits_total{plugin=\"guest\"} 100";
        assert!(text.contains(line), "{text}");
        let Server { app, home } = server;
        app.stop().await;
        // Kept for ever.
        let kept = Database::open(&home.path().join("data/plugins.db")).unwrap();
        let visits = wasmilter::kv::Kv::get(&kept, "guest", "visits").unwrap();
        assert_eq!(visits.unwrap(), (round * 100).to_string().as_bytes());
        drop(kept);
        let config = support::config(home.path(), "[plugins]\ndirectory = \"plugins\"\n");
        let app = App::start(&config, None).await.unwrap();
        server = Server { app, home };
    }
}
