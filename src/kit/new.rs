//! The folder that a new filter starts from: it builds, passes its cases and can be loaded as it is. Builds nothing itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

#[derive(Debug, thiserror::Error)]
pub enum NewError {
    #[error(
        "{0:?} cannot be the name of a plugin: it must begin with a letter and have only a-z, 0-9, '-' and '_', 64 at the most"
    )]
    Name(String),
    #[error("{0:?} is a word of Rust's own, and so no name for a crate: choose another")]
    Reserved(String),
    #[error("{} is there already: choose another name, or remove it", .0.display())]
    Exists(PathBuf),
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// Crates that a crate of the same name would hide, and keywords.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "wasmilter-sdk",
    "wasmilter_sdk",
    "where",
    "while",
    "yield",
];

/// Makes the folder; its last component is the plugin's name.
pub fn create(directory: &Path) -> Result<(), NewError> {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    check(&name)?;
    if directory.exists() {
        return Err(NewError::Exists(directory.to_owned()));
    }
    for (path, text) in FILES {
        let path = directory.join(path);
        let fail = |error| NewError::Io {
            path: path.clone(),
            error,
        };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(fail)?;
        }
        fs::write(&path, text.replace("{{name}}", &name)).map_err(fail)?;
    }
    Ok(())
}

fn check(name: &str) -> Result<(), NewError> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if !name.starts_with(|c: char| c.is_ascii_lowercase())
        || name.len() > 64
        || !name.chars().all(fine)
    {
        return Err(NewError::Name(name.to_owned()));
    }
    if RESERVED.contains(&name) {
        return Err(NewError::Reserved(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::Case;
    use crate::plugin::Manifest;

    #[test]
    fn the_folder_stands_alone() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("no-casino");
        create(&folder).unwrap();
        let read = |path: &str| fs::read_to_string(folder.join(path)).unwrap();
        let manifest = Manifest::parse(&read("plugin.toml")).unwrap();
        assert_eq!(manifest.name.as_deref(), Some("no-casino"));
        let cargo: toml::Table = read("Cargo.toml").parse().unwrap();
        assert_eq!(cargo["package"]["name"].as_str(), Some("no-casino"));
        let sdk = read("sdk/rust/Cargo.toml");
        assert!(
            sdk.contains("\nedition = \"2024\"\n") && !sdk.contains("workspace"),
            "{sdk}"
        );
        assert!(read("sdk/wit/filter.wit").contains("package wasmilter:filter@"));
        for case in ["casino", "letter"] {
            let path = format!("cases/{case}.toml");
            Case::parse(Path::new(&path), &read(&path)).unwrap();
        }
        let again = create(&folder).unwrap_err();
        assert!(again.to_string().contains("is there already"), "{again}");
    }

    #[test]
    fn the_readme_shows_the_same_filter() {
        let code = FILES
            .iter()
            .find(|(path, _)| *path == "src/lib.rs")
            .unwrap()
            .1;
        let body = code.split_once("fn check").unwrap().1;
        for shown in ["README.md", "docs/plugin-author.md"] {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let text = fs::read_to_string(root.join(shown)).unwrap();
            assert!(text.contains(body), "{shown}");
        }
    }

    #[test]
    fn names_that_cargo_would_refuse_are_refused_first() {
        let home = tempfile::tempdir().unwrap();
        for (name, expected) in [
            ("Casino", "must begin with a letter"),
            ("9lives", "must begin with a letter"),
            ("a b", "must begin with a letter"),
            ("é", "must begin with a letter"),
            ("match", "a word of Rust's own"),
        ] {
            let error = create(&home.path().join(name)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(matches!(create(Path::new("/")), Err(NewError::Name(_))));
    }
}
