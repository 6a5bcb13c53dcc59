use super::*;

fn config(toml: &str) -> Config {
    let config: Config = toml::from_str(toml).unwrap();
    config.check().unwrap();
    config
}

fn edits(toml: &str, symbols: &[(&str, f32)], fields: &[(&str, &str)]) -> Vec<String> {
    let facts = Facts {
        symbols: symbols
            .iter()
            .map(|(name, points)| ((*name).to_owned(), *points))
            .collect(),
        names: fields.iter().map(|(name, _)| (*name).to_owned()).collect(),
        external: true,
    };
    let get = |name: &str| {
        fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| (*value).to_owned())
            .collect()
    };
    config(toml)
        .edits(&facts, &get)
        .into_iter()
        .map(|edit| match edit {
            Edit::Add { name, value } => format!("+ {name}: {value}"),
            Edit::Change { name, nth, value } => format!("{nth} {name}: {value}"),
            Edit::Remove { name, nth } => format!("- {name} {nth}"),
        })
        .collect()
}

const SHIPPED: &str = include_str!("../../plugin.toml");

fn shipped() -> String {
    let manifest: toml::Table = SHIPPED.parse().unwrap();
    toml::to_string(&manifest["config"]).unwrap()
}

#[test]
fn as_shipped_it_reports_the_score_and_drops_forgeries() {
    let fields = [
        ("X-Spam-Status", "No"),
        ("Subject", "Hello"),
        ("x-spam-score", "-9"),
        ("X-Spam-Status", "No, twice"),
    ];
    assert_eq!(
        edits(
            &shipped(),
            &[("CASINO", 4.5), ("IS_REPLY", -1.0), ("HTML_ONLY", 0.8)],
            &fields
        ),
        [
            "- X-Spam-Status 2",
            "- X-Spam-Status 1",
            "- x-spam-score 1",
            "+ X-Spam-Score: 4.3",
            "+ X-Spam-Symbols: CASINO(4.5), IS_REPLY(-1.0), HTML_ONLY(0.8)",
        ]
    );
    let junk = edits(&shipped(), &[("CASINO", 5.0)], &[("Subject", "Hello")]);
    assert!(junk.contains(&"+ X-Spam-Flag: YES".to_owned()), "{junk:?}");
    let clean = edits(&shipped(), &[], &[("Subject", "Hello")]);
    assert_eq!(clean, ["+ X-Spam-Score: 0.0", "+ X-Spam-Symbols: none"]);
}

#[test]
fn conditions_must_all_hold() {
    let rule = r#"
        [[rules]]
        when = { score-at-least = 2, score-below = 5, symbols = ["A", "B"], header = "List-Id", contains = "LOOM" }
        add = { X = "y" }
    "#;
    let list = [("List-Id", "<weavers.loom.example>")];
    for (symbols, fields, expected) in [
        (&[("B", 2.0)][..], &list[..], 1),
        (&[("B", 1.9)], &list, 0),
        (&[("B", 5.0)], &list, 0),
        (&[("C", 2.0)], &list, 0),
        (&[("B", 2.0)], &[("List-Id", "<other.example>")], 0),
        (&[("B", 2.0)], &[], 0),
    ] {
        assert_eq!(
            edits(rule, symbols, fields).len(),
            expected,
            "{symbols:?} {fields:?}"
        );
    }
}

#[test]
fn the_subject_is_tagged_once() {
    let rule = "[[rules]]\nsubject-tag = \"[spam {score}]\"";
    assert_eq!(
        edits(rule, &[("A", 7.0)], &[("Subject", "Hello")]),
        ["1 Subject: [spam 7.0] Hello"]
    );
    assert_eq!(
        edits(rule, &[("A", 7.0)], &[("Subject", "Re: [spam 7.0] Hello")]),
        [""; 0]
    );
    assert_eq!(edits(rule, &[("A", 7.0)], &[]), ["+ Subject: [spam 7.0]"]);
}

#[test]
fn replacing_adds_what_is_not_there() {
    let rule = "[[rules]]\nreplace = { Organization = \"Ours\" }";
    assert_eq!(
        edits(rule, &[], &[("organization", "Theirs")]),
        ["1 Organization: Ours"]
    );
    assert_eq!(edits(rule, &[], &[]), ["+ Organization: Ours"]);
    let removed = "remove = [\"Organization\"]\n[[rules]]\nreplace = { Organization = \"Ours\" }";
    assert_eq!(
        edits(removed, &[], &[("Organization", "Theirs")]),
        ["- Organization 1", "+ Organization: Ours"]
    );
}

#[test]
fn mistakes_are_named() {
    for (toml, says) in [
        ("remove = [\"no name\"]", "no name"),
        ("remove = [\"\"]", "is no name"),
        ("[[rules]]", "changes nothing"),
        (
            "[[rules]]\nadd = { \"X-*\" = \"y\" }",
            "only `remove` takes a *",
        ),
        (
            "[[rules]]\nwhen = { contains = \"x\" }\nremove = [\"Y\"]",
            "`contains` wants `header`",
        ),
    ] {
        let error = toml::from_str::<Config>(toml).unwrap().check().unwrap_err();
        assert!(error.contains(says), "{toml:?}: {error}");
    }
    assert!(toml::from_str::<Config>("rule = []").is_err());
}
