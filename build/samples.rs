//! Embeds the sample messages of examples/mail, so that `demo` needs no checkout beside it.

use crate::Result;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Writes `samples.rs`, which `src/cli/demo/samples.rs` includes.
pub fn embed(root: &Path, out: &Path) -> Result<()> {
    let directory = root.join("examples/mail");
    println!("cargo::rerun-if-changed={}", directory.display());
    let mut files: Vec<_> = fs::read_dir(&directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .collect();
    files.sort();
    let expected = directory.join("expected.toml");
    let mut code = format!(
        "const EXPECTED: &str = include_str!({expected:?});\nconst FILES: &[(&str, &[u8])] = &[\n"
    );
    for file in &files {
        let name = file.file_name().unwrap_or_default();
        writeln!(code, "    ({name:?}, include_bytes!({file:?})),")?;
    }
    code.push_str("];\n");
    fs::write(out.join("samples.rs"), code)?;
    Ok(())
}
