//! Grants written into the operator's file; what else stands there stays as it is, comments too. Takes nothing away.

use super::asked::words;
use super::{Ability, Asked, Grants};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use toml_edit::{Array, DocumentMut, Item, Table, value};

/// What was added, for people. Empty if all of it was granted before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    pub granted: Vec<String>,
}

impl Grants {
    /// Grants what the plugin asks for. With `narrow`, no more than the patterns that it names now: an upgrade with wider ones is held to
    /// these until they are widened here too.
    pub fn write(
        path: &Path,
        plugin: &str,
        asked: &Asked,
        narrow: bool,
    ) -> Result<Written, String> {
        let text = super::file::text(path)?;
        let (text, written) = add(path, &text, plugin, asked, narrow)?;
        if !written.granted.is_empty() {
            replace(path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(written)
    }
}

fn add(
    path: &Path,
    text: &str,
    plugin: &str,
    asked: &Asked,
    narrow: bool,
) -> Result<(String, Written), String> {
    let fault = |error: &dyn std::fmt::Display| format!("{}, {error}", path.display());
    let grants = Grants::parse(path, text).map_err(|error| fault(&error))?;
    let lacking = match grants.capabilities(plugin, asked) {
        Ok(_) => BTreeSet::new(),
        Err(lacking) => lacking.abilities,
    };
    let verdicts = grants.verdicts_lacking(plugin, asked);
    let mut written = Written::default();
    if lacking.is_empty() && verdicts.is_empty() {
        return Ok((text.to_owned(), written));
    }
    let mut document: DocumentMut = text.parse().map_err(|error| fault(&error))?;
    // A new table goes to the end, behind the last comment.
    let head = match document.contains_key(plugin) {
        true => String::new(),
        false => {
            document = DocumentMut::new();
            let head = text.trim_end();
            let gap = if head.is_empty() { "" } else { "\n\n" };
            format!("{head}{gap}")
        }
    };
    let table = document
        .entry(plugin)
        .or_insert_with(|| Item::Table(Table::new()))
        .as_table_like_mut()
        .ok_or_else(|| fault(&format!("{plugin} is no table")))?;
    let mut extend = |key: &str, words: &mut dyn Iterator<Item = &str>| {
        let item = table.entry(key).or_insert_with(|| value(Array::new()));
        if let Some(array) = item.as_array_mut() {
            array.extend(words.map(str::to_owned));
        }
    };
    if !lacking.is_empty() {
        extend(
            "abilities",
            &mut lacking.iter().map(|ability| ability.name()),
        );
    }
    for &ability in &lacking {
        let globs = asked.declared.narrowing.patterns.get(&ability);
        match globs.filter(|_| narrow) {
            Some(globs) => {
                extend(ability.name(), &mut globs.iter().map(|glob| glob.as_str()));
                let patterns = words(globs);
                written
                    .granted
                    .push(format!("{} ({patterns})", ability.name()));
            }
            None => written.granted.push(Ability::name(ability).to_owned()),
        }
    }
    if !verdicts.is_empty() {
        // In place of those that are granted without a word, which it may be giving too.
        let all = asked.verdicts();
        table.insert("verdicts", value(all.iter().copied().collect::<Array>()));
        let verdicts = words(&verdicts);
        written.granted.push(format!("verdicts ({verdicts})"));
    }
    Ok((format!("{head}{document}"), written))
}

/// In one step, so that nobody reads half of it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link stays one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".grants")
        .tempfile_in(directory.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    let mode = fs::metadata(&path).map_or(0o644, |metadata| metadata.permissions().mode());
    fs::set_permissions(file.path(), Permissions::from_mode(mode))?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Declared;
    use super::*;

    fn asked(imports: &[&str], capabilities: &str) -> Asked {
        let table = toml::from_str(capabilities).unwrap();
        let imports: Vec<String> = imports
            .iter()
            .map(|name| format!("wasmilter:filter/{name}@0.1.1"))
            .collect();
        Asked::new(
            imports.iter().map(String::as_str),
            Declared::read(&table).unwrap(),
        )
    }

    fn added(text: &str, asked: &Asked, narrow: bool) -> String {
        let (text, _) = add(Path::new("grants.toml"), text, "one", asked, narrow).unwrap();
        let (again, written) = add(Path::new("grants.toml"), &text, "one", asked, narrow).unwrap();
        assert_eq!((again, written.granted.len()), (text.clone(), 0));
        text
    }

    #[test]
    fn what_is_lacking_is_added_and_the_rest_stays() {
        let plain = asked(
            &["score", "header-edit", "filing"],
            "header-edit = [\"X-*\"]",
        );
        assert_eq!(
            added("", &plain, true),
            "[one]\nabilities = [\"header-edit\", \"filing\"]\nheader-edit = [\"X-*\"]\n"
        );
        assert_eq!(
            added(
                "# why\n[one] # mine\nabilities = [\"kv\"] # a store\n",
                &plain,
                false
            ),
            "# why\n[one] # mine\nabilities = [\"kv\", \"header-edit\", \"filing\"] # a store\n"
        );
        assert_eq!(
            added("[a]\nabilities = []\n\n# mine\n", &plain, false),
            "[a]\nabilities = []\n\n# mine\n\n[one]\nabilities = [\"header-edit\", \"filing\"]\n"
        );
        let harmless = asked(&["score", "log"], "");
        assert_eq!(added("# nothing\n", &harmless, true), "# nothing\n");
        let accepting = asked(&["score"], "verdicts = [\"accept\", \"reject\"]");
        assert_eq!(
            added("", &accepting, true),
            "[one]\nverdicts = [\"accept\", \"reject\"]\n"
        );
    }

    #[test]
    fn a_broken_file_is_left_alone() {
        let asked = asked(&["filing"], "");
        let error = add(Path::new("grants.toml"), "[one\n", "one", &asked, true).unwrap_err();
        assert!(error.starts_with("grants.toml, line 1"), "{error}");
    }
}
