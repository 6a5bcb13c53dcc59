use super::*;

fn config(toml: &str) -> Config {
    let config: Config = toml::from_str(toml).unwrap();
    config.check().unwrap();
    config
}

fn shipped() -> Config {
    let manifest: toml::Table = include_str!("../../plugin.toml").parse().unwrap();
    config(&toml::to_string(&manifest["config"]).unwrap())
}

/// Folder and flags, in one line.
fn filed(config: &Config, recipient: &str, score: f32, fields: &[(&str, &str)]) -> String {
    let get = |name: &str| -> Vec<String> {
        fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| (*value).to_owned())
            .collect()
    };
    let facts = Facts {
        recipient,
        sender: "bounce@out.post.example".into(),
        symbols: vec![("SOME".into(), score)],
        get: &get,
    };
    let filed = config.file(&facts);
    let mut line = filed.folder.map(|(folder, _)| folder).unwrap_or("-".into());
    for flag in filed.flags {
        line += " ";
        line += &flag;
    }
    line
}

#[test]
fn as_shipped() {
    let list = ("List-Id", "Hand weaving <weavers.lists.loom.example>");
    for (recipient, score, fields, expected) in [
        ("alice@example.test", 0.0, &[][..], "-"),
        ("alice@example.test", 5.0, &[list], "Junk $Junk"),
        ("alice@example.test", 4.9, &[list], "Lists/weavers"),
        ("alice+shop@example.test", 0.0, &[list], "shop"),
        ("alice+shop@example.test", 9.0, &[], "Junk $Junk"),
        // Nobody files into these from outside, nor elsewhere than one level down.
        ("alice+trash@example.test", 0.0, &[], "-"),
        ("alice+inbox@example.test", 0.0, &[list], "Lists/weavers"),
        ("alice+a/b@example.test", 0.0, &[], "-"),
        ("alice+..@example.test", 0.0, &[], "-"),
        ("alice+@example.test", 0.0, &[], "-"),
        ("alice", 0.0, &[], "-"),
    ] {
        assert_eq!(
            filed(&shipped(), recipient, score, fields),
            expected,
            "{recipient} {score}"
        );
    }
}

#[test]
fn names_of_lists() {
    for (id, name) in [
        ("<kiln-devel.lists.kiln.example>", "kiln-devel"),
        ("kiln/firmware <firmware.kiln.forge.example>", "firmware"),
        ("weavers.lists.example", "weavers"),
        ("<7f3a9921c.104882.list-id.mail.example>", "list-id"),
        ("<\u{1b}[31m.example>", "example"),
        ("", ""),
        ("<>", ""),
    ] {
        assert_eq!(list_name(id), name, "{id:?}");
    }
    assert_eq!(list_name(&format!("<{}.example>", "x".repeat(41))), "");
}

#[test]
fn rules_by_sender_header_and_recipient() {
    let config = config(
        r#"
        [[rules]]
        when = { recipients = ["alice@example.test"], senders = ["@bank.example", "tom@post.example"] }
        into = "Known"
        flags = ["\\Flagged"]
        [[rules]]
        when = { header = "Subject", contains = "[BUILD]" }
        into = "Builds/all"
        [[rules]]
        when = { senders = ["*.post.example"] }
        into = "Post"
        "#,
    );
    for (recipient, fields, expected) in [
        (
            "alice@example.test",
            &[("From", "Bank <x@bank.example>")][..],
            "Known \\Flagged",
        ),
        (
            "alice+x@example.test",
            &[("From", "TOM@post.example (Tom)")],
            "Known \\Flagged",
        ),
        ("bob@example.test", &[("From", "x@bank.example")], "Post"),
        (
            "alice@example.test",
            &[
                ("From", "x@notbank.example"),
                ("Subject", "Re: [build] failed"),
            ],
            "Builds/all",
        ),
        ("alice@example.test", &[("From", "x@other.example")], "Post"),
    ] {
        assert_eq!(
            filed(&config, recipient, 0.0, fields),
            expected,
            "{recipient} {fields:?}"
        );
    }
}

#[test]
fn rules_that_go_on_add_flags() {
    let config = config(
        r#"
        [[rules]]
        when = { symbols = ["SOME"] }
        flags = ["$Seen-by-rule"]
        go-on = true
        [[rules]]
        when = { score-below = 2 }
        into = "Calm"
        flags = ["\\Seen"]
        [[rules]]
        into = "Rest"
        "#,
    );
    assert_eq!(
        filed(&config, "a@b.example", 1.0, &[]),
        "Calm $Seen-by-rule \\Seen"
    );
    assert_eq!(
        filed(&config, "a@b.example", 2.0, &[]),
        "Rest $Seen-by-rule"
    );
}

#[test]
fn reasons_name_what_was_matched() {
    let get = |_: &str| vec!["<weavers.lists.loom.example>".to_owned()];
    let facts = Facts {
        recipient: "a@b.example",
        sender: String::new(),
        symbols: vec![],
        get: &get,
    };
    assert_eq!(shipped().file(&facts).folder.unwrap().1, "list weavers");
}

#[test]
fn mistakes_are_named() {
    for (toml, says) in [
        ("[[rules]]", "does nothing"),
        ("[[rules]]\ninto = \"a//b\"", "empty level"),
        ("[[rules]]\ninto = \"{detail}\"", "wants `details`"),
        ("[[rules]]\ninto = \"L/{list}\"", "wants `lists`"),
        (
            "[[rules]]\nwhen = { contains = \"x\" }\ninto = \"a\"",
            "`contains` wants `header`",
        ),
        ("[[rules]]\nflags = [\"a b\"]", "is no flag"),
    ] {
        let error = toml::from_str::<Config>(toml).unwrap().check().unwrap_err();
        assert!(error.contains(says), "{toml:?}: {error}");
    }
    assert!(toml::from_str::<Config>("[[rules]]\nwhen = { sender = \"x\" }").is_err());
}
