use super::*;
use crate::message::{Field, Part};

fn shipped() -> Config {
    let manifest: toml::Table = include_str!("../../plugin.toml").parse().unwrap();
    manifest["config"].clone().try_into().unwrap()
}

fn message(subject: &str, html: &str) -> Message {
    let field = |name: &str, value: &str| Field {
        name: name.into(),
        value: value.into(),
        broken: false,
    };
    Message {
        fields: vec![
            field("Message-ID", "<1@a.example>"),
            field("Date", "Tue, 17 Nov 2026 10:00:00 +0000"),
            field("To", "b@c.example"),
            field("MIME-Version", "1.0"),
        ],
        subject: Some(subject.into()),
        from: Some("a@a.example".into()),
        parts: vec![Part {
            path: "1".into(),
            media_type: "text/html".into(),
            text: Some(html.into()),
            ..Part::default()
        }],
        ..Message::default()
    }
}

#[test]
fn every_rule_has_its_points_in_the_configuration_that_comes_with_it() {
    let config = shipped();
    for rule in Rule::ALL {
        assert!(config.scores.contains_key(rule.name()), "{}", rule.name());
    }
    Engine::new(config).unwrap();
}

#[test]
fn phrases_of_a_long_text_count_for_less() {
    let engine = Engine::new(shipped()).unwrap();
    let points = |html: &str| {
        let symbols = engine.examine(&message("hello", html));
        symbols
            .iter()
            .find(|symbol| symbol.name == "CASINO")
            .map(|symbol| symbol.points)
    };
    assert_eq!(points("our online casino"), Some(1.4));
    let long = format!(
        "our online casino {}",
        "and a walk by the sea ".repeat(1000)
    );
    assert_eq!(points(&long), Some(0.2));
}

#[test]
fn mistakes_are_named() {
    let config = |toml: &str| toml::from_str::<Config>(toml).unwrap();
    for (toml, says) in [
        ("", "gives no points"),
        ("[scores]\nNO_DATTE = 1", "no rule NO_DATTE"),
        (
            "[phrases.NO_DATE]\nreason = \"r\"\nscore = 1\nany = [\"x\"]",
            "a rule in code",
        ),
        (
            "[phrases.\"My rule\"]\nreason = \"r\"\nscore = 1\nany = [\"x\"]",
            "made of A-Z",
        ),
        (
            "[phrases.X]\nreason = \"r\"\nscore = 1\nany = []",
            "lists no phrase",
        ),
        (
            "[phrases.X]\nreason = \"r\"\nscore = 1\nany = [\" \"]",
            "is too short: it must have 3 octets",
        ),
    ] {
        let error = Engine::new(config(toml)).unwrap_err();
        assert!(error.contains(says), "{toml:?}: {error}");
    }
    assert!(toml::from_str::<Config>("[limit]").is_err());
}

/// What a sender may try in order to use up the plugin's time: each takes far longer if some part of the work is quadratic.
#[test]
fn hostile_input_is_read_in_one_pass() {
    let engine = Engine::new(shipped()).unwrap();
    let letters = "v i a g r a ".repeat(20_000);
    engine.examine(&message(&letters, ""));
    for piece in [
        "<a =\">",
        "<a href='",
        "<!--",
        "<script>",
        "&#",
        "<b><i>",
        "</b>",
        "http://",
        "www.",
        "<",
        "<div style=display:none>",
    ] {
        engine.examine(&message("hello", &piece.repeat(256 * 1024 / piece.len())));
    }
}
