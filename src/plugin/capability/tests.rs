use super::*;
use crate::plugin::capability::Declared;

fn asked(abilities: &[Ability], capabilities: &str) -> Asked {
    let table = toml::from_str(capabilities).unwrap();
    Asked {
        abilities: abilities.iter().copied().collect(),
        declared: Declared::read(&table).unwrap(),
    }
}

fn grants(text: &str) -> Grants {
    Grants::parse(Path::new("/etc/grants.toml"), text).unwrap()
}

#[test]
fn what_is_granted_to_whom() {
    use Ability::{Body, Filing, HeaderEdit, Kv, Score, Sockets};
    for (text, ability, granted) in [
        ("", Score, true),
        ("", HeaderEdit, false),
        // Programs are linked with it; there is nothing in it.
        ("", Sockets, true),
        ("[one]\nabilities = [\"header-edit\"]", HeaderEdit, true),
        ("[one]\nabilities = [\"header-edit\"]", Score, true),
        ("[one]\nabilities = [\"header-edit\"]", Filing, false),
        ("[other]\nabilities = [\"header-edit\"]", HeaderEdit, false),
        ("[\"*\"]\nabilities = [\"header-edit\"]", HeaderEdit, true),
        ("[\"*\"]\nabilities = [\"header-edit\"]", Body, false),
        (
            "[\"*\"]\nabilities = []\n[one]\nabilities = [\"body\"]",
            Body,
            true,
        ),
        ("[\"*\"]\nabilities = [\"*\"]", Kv, true),
        ("[one]\nabilities = [\"*\"]", Kv, true),
    ] {
        let result = grants(text).capabilities("one", &asked(&[ability], ""));
        assert_eq!(result.is_ok(), granted, "{text}: {}", ability.name());
    }
}

#[test]
fn in_force_is_what_all_allow() {
    use Ability::HeaderEdit;
    let edit = |manifest: &str, file: &str, field: &str| {
        let file = format!("{file}\n");
        grants(&file)
            .capabilities("one", &asked(&[HeaderEdit], manifest))
            .unwrap()
            .check(HeaderEdit, field)
    };
    let granted = "[one]\nabilities = [\"header-edit\"]";
    let narrowed = "[one]\nabilities = [\"header-edit\"]\nheader-edit = [\"X-Spam-*\"]";
    let for_all = "[\"*\"]\nabilities = [\"header-edit\"]\nheader-edit = [\"X-*\"]";
    let both = format!("{for_all}\n[one]\nheader-edit = [\"Subject\"]");
    let own = "header-edit = [\"X-*\"]";
    for (manifest, file, field, refused) in [
        ("", granted, "Subject", None),
        (own, granted, "X-Any", None),
        (
            own,
            granted,
            "Subject",
            Some("plugin.toml, write: header-edit = [\"X-*\", \"Subject\"]"),
        ),
        ("", narrowed, "X-Spam-Flag", None),
        (
            "",
            narrowed,
            "X-Other",
            Some("[one] in grants.toml, write: header-edit = [\"X-Spam-*\", \"X-Other\"]"),
        ),
        (own, narrowed, "X-Other", Some("grants.toml")),
        ("header-edit = []", granted, "X-Any", Some("on nothing")),
        ("", for_all, "X-Any", None),
        ("", for_all, "Subject", Some("grants.toml")),
        // Its own list stands in place of that for all.
        ("", &both, "Subject", None),
        ("", &both, "X-Any", Some("grants.toml")),
    ] {
        match (edit(manifest, file, field), refused) {
            (Ok(()), None) => {}
            (Err(text), Some(part)) => {
                assert!(
                    text.contains(part) && text.starts_with("one may use header-edit"),
                    "{text}"
                );
            }
            other => panic!("{manifest} {file} {field}: {other:?}"),
        }
    }
}

#[test]
fn verdicts_are_all_but_accept_unless_somebody_says_so() {
    use crate::mail::Verdict;
    for (manifest, file, verdict, granted) in [
        ("", "", Verdict::Discard, true),
        ("", "", Verdict::Accept, false),
        ("", "", Verdict::Continue, true),
        ("verdicts = []", "", Verdict::Continue, true),
        ("verdicts = []", "", Verdict::Discard, false),
        ("verdicts = [\"accept\"]", "", Verdict::Accept, false),
        ("", "[one]\nverdicts = [\"accept\"]", Verdict::Accept, true),
        (
            "",
            "[one]\nverdicts = [\"accept\"]",
            Verdict::Discard,
            false,
        ),
        ("", "[\"*\"]\nverdicts = [\"*\"]", Verdict::Accept, true),
        (
            "",
            "[\"*\"]\nverdicts = [\"*\"]\n[one]\nverdicts = []",
            Verdict::Accept,
            false,
        ),
        ("", "[two]\nverdicts = [\"accept\"]", Verdict::Accept, false),
    ] {
        let result = grants(file)
            .capabilities("one", &asked(&[], manifest))
            .unwrap();
        assert_eq!(
            result.check_verdict(&verdict).is_ok(),
            granted,
            "{manifest} {file} {verdict:?}"
        );
    }
}

#[test]
fn what_is_lacking_says_what_to_write() {
    let asked = asked(&[Ability::Score, Ability::HeaderEdit, Ability::Filing], "");
    for (name, text, expected) in [
        (
            "one",
            "",
            "one asks for header-edit, filing, which it is not granted: add to /etc/grants.toml:\n[one]\nabilities = [\"header-edit\", \"filing\"]",
        ),
        (
            "one",
            "[one]\nabilities = [\"filing\", \"kv\"]",
            "one asks for header-edit, which it is not granted: under [one] in /etc/grants.toml, write\nabilities = [\"header-edit\", \"filing\", \"kv\"]",
        ),
        (
            "a.b",
            "",
            "a.b asks for header-edit, filing, which it is not granted: add to /etc/grants.toml:\n[\"a.b\"]\nabilities = [\"header-edit\", \"filing\"]",
        ),
    ] {
        let lacking = grants(text).capabilities(name, &asked).unwrap_err();
        assert_eq!(lacking.to_string(), expected);
    }
}

#[test]
fn errors_point_at_the_place_and_say_what_to_write() {
    let many = format!("[one]\nabilities = [{}]", "\"kv\", ".repeat(201));
    for (text, place, said) in [
        (
            "[one]\nabilites = []",
            (2, 1),
            "there are abilities, header-edit",
        ),
        (
            "[one]\nabilities = [\"kv\", \"headers\"]",
            (2, 20),
            "no ability \"headers\"",
        ),
        ("[one]\nabilities = \"kv\"", (2, 13), "sequence"),
        (
            "[one]\nabilities = [\"sockets\"]",
            (2, 14),
            "cannot be granted",
        ),
        (
            "[one]\nheader-edit = [\"X-*\"]",
            (2, 1),
            "write abilities = [\"header-edit\"] too",
        ),
        ("[one]\nkv = [\"a\"]", (2, 1), "write abilities = [\"kv\"]"),
        (
            "[one]\nabilities = [\"filing\"]\nfiling = [\"a//b\"]",
            (3, 11),
            "\"Lists/*\"",
        ),
        (
            "[one]\nverdicts = [\"bounce\"]",
            (2, 13),
            "write some of accept",
        ),
        ("[one]\nverdicts = [\"continue\"]", (2, 13), "leave it out"),
        ("[\"a b\"]\nabilities = []", (1, 2), "[\"*\"] is for all"),
        ("[one", (1, 5), ""),
        ("one = 3", (1, 7), "invalid type"),
        (&many, (2, 1), "the limit is 200"),
    ] {
        match Grants::parse(Path::new("g"), text) {
            Err(ManifestError::At {
                line,
                column,
                text: error,
            }) => {
                assert_eq!((line, column), place, "{text}: {error}");
                assert!(error.contains(said), "{text}: {error}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}
