use super::*;
use prometheus_client::metrics::counter::Counter;
use std::time::Duration;

fn label(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn what_is_registered_is_in_the_text() {
    let registry = Registry::default();
    let counter = registry.register("things", "Things seen", Counter::<u64>::default());
    counter.inc_by(3);
    registry.filters().generation(7);
    let meter = registry.filters().meter("spam-score");
    meter.count(&Call {
        hook: "message",
        result: "failed",
        failure: Some("timeout".to_owned()),
        elapsed: Duration::from_micros(40),
        edits: 0,
        symbols: 2,
        refused: 1,
    });
    let text = registry.text();
    for line in [
        "wasmilter_things_total 3",
        "wasmilter_generation 7",
        "wasmilter_filter_calls_total{filter=\"spam-score\",hook=\"message\",result=\"failed\"} 1",
        "wasmilter_filter_seconds_bucket{le=\"0.00005\",filter=\"spam-score\",hook=\"message\"} 1",
        "wasmilter_filter_failures_total{filter=\"spam-score\",kind=\"timeout\"} 1",
        "wasmilter_filter_symbols_total{filter=\"spam-score\"} 2",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn plugins_count_under_names_of_their_own() {
    let registry = Registry::default();
    let named = registry.named();
    for (plugin, by) in [("a", 1), ("b", 2), ("a", 3)] {
        named
            .count(plugin, "seen_total", by, vec![label("kind", "x\"y")])
            .unwrap();
    }
    named.observe("a", "lookup_seconds", 0.2, vec![]).unwrap();
    let text = registry.text();
    for line in [
        "wasmilter_plugin_seen_total{plugin=\"a\",kind=\"x\\\"y\"} 4",
        "wasmilter_plugin_seen_total{plugin=\"b\",kind=\"x\\\"y\"} 2",
        "wasmilter_plugin_lookup_seconds_bucket{le=\"0.25\",plugin=\"a\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(text.matches("# TYPE wasmilter_plugin_seen ").count(), 1);
}

#[test]
fn a_flood_is_bounded() {
    let registry = Registry::default();
    let named = registry.named();
    for n in 0..10_000 {
        named
            .count("a", "seen", 1, vec![label("sender", &n.to_string())])
            .unwrap();
    }
    let text = registry.text();
    let series = text
        .lines()
        .filter(|line| line.starts_with("wasmilter_plugin_seen_total"));
    assert_eq!(series.count(), 101);
    assert!(text.contains("wasmilter_plugin_seen_total{plugin=\"a\",sender=\"other\"} 9900"));
    let names = (0..1000).filter(|n| named.count("a", &format!("m{n}"), 1, vec![]).is_ok());
    assert_eq!(names.count(), 49);
    // It is the flooding one's own loss.
    named.count("b", "m999", 1, vec![]).unwrap();
}

#[test]
fn names_and_labels_are_checked() {
    let registry = Registry::default();
    let named = registry.named();
    let long = "x".repeat(65);
    for name in ["", "Seen", "a-b", "1st", "a\nb", &long] {
        let refused = named.count("a", name, 1, vec![]);
        assert!(matches!(refused, Err(NamedError::BadValue(_))), "{name:?}");
    }
    // The server's own, whichever there are.
    let text = registry.text();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let servers = types.filter_map(|line| line.strip_prefix("wasmilter_plugin_"));
    for name in servers.filter_map(|line| line.split(' ').next()) {
        for name in [name.to_owned(), format!("{name}_total")] {
            assert!(named.count("a", &name, 41, vec![]).is_err(), "{name}");
            assert!(named.observe("a", &name, 41.0, vec![]).is_err(), "{name}");
        }
    }
    assert_eq!(registry.text(), text);
    for key in ["", "plugin", "le", "__name__", "a b", "Ä"] {
        let refused = named.count("a", "seen", 1, vec![label(key, "x")]);
        assert!(matches!(refused, Err(NamedError::BadValue(_))), "{key:?}");
    }
    let refused = named.count("a", "seen", 1, vec![label("k", &long)]);
    assert!(matches!(refused, Err(NamedError::TooMuch(_))));
    let many = ["a", "b", "c", "d", "e"].map(|key| label(key, "x"));
    assert!(named.count("a", "seen", 1, many.into()).is_err());
    let twice = vec![label("k", "1"), label("k", "2")];
    assert!(named.count("a", "seen", 1, twice).is_err());
    named.count("a", "seen", 1, vec![label("k", "1")]).unwrap();
    assert!(named.count("a", "seen", 1, vec![]).is_err());
    assert!(
        named
            .observe("a", "seen", 1.0, vec![label("k", "1")])
            .is_err()
    );
    assert!(named.observe("a", "time", f64::NAN, vec![]).is_err());
}
