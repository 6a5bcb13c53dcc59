//! Embeds the SDK, the contract and the folder to start from, so that `plugin new` needs no checkout and no registry that has the SDK.

use crate::Result;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes `sdk.rs`, which `src/kit/new.rs` includes: paths in the new folder, and what is in them.
pub fn embed(root: &Path, out: &Path) -> Result<()> {
    let workspace = fs::read_to_string(root.join("Cargo.toml"))?;
    let mut code = String::from("const FILES: &[(&str, &str)] = &[\n");
    for (from, to) in [
        ("sdk/template/rust", ""),
        ("sdk/rust", "sdk/rust/"),
        ("sdk/wit", "sdk/wit/"),
    ] {
        let directory = root.join(from);
        println!("cargo::rerun-if-changed={}", directory.display());
        let mut files = Vec::new();
        collect(&directory, &mut files)?;
        files.sort();
        for file in files {
            let text = fs::read_to_string(&file)
                .map_err(|error| format!("{}: {error}", file.display()))?;
            let text = if file.ends_with("sdk/rust/Cargo.toml") {
                standing_alone(&text, &workspace)
            } else {
                text
            };
            let path = format!("{to}{}", file.strip_prefix(&directory)?.display());
            writeln!(code, "    ({path:?}, {text:?}),")?;
        }
    }
    code.push_str("];\n");
    fs::write(out.join("sdk.rs"), code)?;
    Ok(())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in
        fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            if path
                .file_name()
                .is_some_and(|name| name != "target" && name != "frozen")
            {
                collect(&path, files)?;
            }
        } else if path.file_name().is_some_and(|name| name != "Cargo.lock") {
            files.push(path);
        }
    }
    Ok(())
}

/// `KEY.workspace = true` becomes what the workspace says.
fn standing_alone(manifest: &str, workspace: &str) -> String {
    let package = workspace
        .split("[workspace.package]")
        .nth(1)
        .and_then(|rest| rest.split("\n[").next())
        .unwrap_or_default();
    let value = |key: &str| {
        package
            .lines()
            .find(|line| line.split('=').next().map(str::trim) == Some(key))
    };
    let line = |line: &str| match line.strip_suffix(".workspace = true") {
        Some(key) => value(key).unwrap_or(line).to_owned(),
        None => line.to_owned(),
    };
    let lines: Vec<_> = manifest.lines().map(line).collect();
    lines.join("\n") + "\n"
}
