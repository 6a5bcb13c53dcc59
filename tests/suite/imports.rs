//! The direction of imports: a module uses those below it, never those above. docs/ARCHITECTURE.md says why.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// From the bottom up. Modules on one line don't use each other.
const LAYERS: &[&[&str]] = &[
    &["allocator", "mail", "metrics", "private"],
    &["proto"],
    &["net", "dns", "kv", "store", "queue"],
    &["plugin"],
    &["auth", "milter"],
    &["verify"],
    &["chain"],
    &["accept"],
    &["ingress", "deliver", "mailbox", "admin", "kit"],
    &["config"],
    &["app"],
    &["cli"],
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules of this crate that a source file names: `crate::NAME` and, in braces, `crate::{NAME…, NAME…}`.
fn used(source: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let mut modules = BTreeSet::new();
    for (at, found) in source.match_indices("crate::") {
        let rest = &source[at + found.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for c in group.chars() {
                match c {
                    '}' if depth == 0 => break,
                    ',' if depth == 0 => {
                        modules.insert(word(item.trim()));
                        item.clear();
                    }
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    c => item.push(c),
                }
            }
            modules.insert(word(item.trim()));
        } else {
            modules.insert(word(rest));
        }
    }
    modules.remove("");
    modules
}

#[test]
fn modules_use_only_those_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 20, "the sources were not found");
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&root).unwrap();
        let first = relative.iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        let Some(own) = layer(module) else {
            assert!(matches!(module, "lib" | "main"), "{module} is in no layer");
            continue;
        };
        for used in used(&std::fs::read_to_string(&file).unwrap()) {
            match layer(&used) {
                Some(other) if other < own || used == module => {}
                Some(_) => wrong.push(format!("{} uses {used}", relative.display())),
                None => wrong.push(format!(
                    "{} uses {used}, which is in no layer",
                    relative.display()
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn both_forms_of_use_are_understood() {
    let found =
        used("use crate::mail::Address;\nuse crate::{net::{A, B}, store};\ncrate::chain::X");
    assert_eq!(
        found.into_iter().collect::<Vec<_>>(),
        ["chain", "mail", "net", "store"]
    );
}
