//! Compiles the plugins of this repository to WASM and embeds them, the sample mail and the SDK, so that no step is needed before `cargo run` or `cargo test`.
//! Knows nothing of what they do. It runs again only when their sources, the SDK's or the lock file change.

mod allocator;
mod log;
mod samples;
mod sdk;

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";
/// Filters that tests script and benches measure. Compiled with the others, not embedded: a variable names each one's file.
const GUESTS: [(&str, &str); 3] = [
    ("tests/guest", "WASMILTER_TEST_GUEST"),
    ("benches/guests/nothing", "WASMILTER_BENCH_NOTHING"),
    ("benches/guests/headers", "WASMILTER_BENCH_HEADERS"),
];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() {
    if let Err(error) = run() {
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    allocator::link()?;
    log::link()?;
    samples::embed(&root, &out)?;
    sdk::embed(&root, &out)?;
    let plugins = plugins(&root.join("plugins"))?;
    let mut guests = Vec::new();
    for (directory, variable) in GUESTS {
        let directory = root.join(directory);
        let name = package_name(&directory)?;
        guests.push((Plugin { directory, name }, variable));
    }
    rerun_if_changed(
        &root,
        plugins.iter().chain(guests.iter().map(|(guest, _)| guest)),
    );
    add_target(&root)?;

    let target = target_directory(&out);
    let all = plugins.iter().chain(guests.iter().map(|(guest, _)| guest));
    let packages: Vec<&str> = all.map(|plugin| plugin.name.as_str()).collect();
    compile(&root, &target, &packages)?;

    let compiled = |package: &str| {
        target
            .join(TARGET)
            .join(PROFILE)
            .join(format!("{}.wasm", package.replace('-', "_")))
    };
    embed(&out, &plugins, &compiled)?;
    for (guest, variable) in &guests {
        let wasm = out.join(format!("{}.wasm", guest.name));
        fs::copy(compiled(&guest.name), &wasm)?;
        println!("cargo::rustc-env={variable}={}", wasm.display());
    }
    Ok(())
}

struct Plugin {
    directory: PathBuf,
    name: String,
}

fn plugins(directory: &Path) -> Result<Vec<Plugin>> {
    let mut plugins = Vec::new();
    for entry in
        fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?
    {
        let directory = entry?.path();
        if directory.join("Cargo.toml").is_file() {
            let name = package_name(&directory)?;
            plugins.push(Plugin { directory, name });
        }
    }
    plugins.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(plugins)
}

fn package_name(directory: &Path) -> Result<String> {
    let path = directory.join("Cargo.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    text.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| key.trim() == "name")
        .map(|(_, value)| value.trim().trim_matches('"').to_owned())
        .ok_or_else(|| format!("{}: the package has no name", path.display()).into())
}

fn rerun_if_changed<'a>(root: &Path, plugins: impl Iterator<Item = &'a Plugin>) {
    let mut paths: Vec<PathBuf> = [
        "build",
        "sdk/rust",
        "sdk/wit",
        "Cargo.lock",
        "Cargo.toml",
        "rust-toolchain.toml",
        ".cargo/config.toml",
    ]
    .iter()
    .map(|path| root.join(path))
    .collect();
    // Not the whole folders: their cases are no input.
    for Plugin { directory, .. } in plugins {
        paths.extend(["src", "Cargo.toml"].map(|name| directory.join(name)));
        // A path that does not exist would make the script run each time.
        paths.extend(Some(directory.join("plugin.toml")).filter(|path| path.exists()));
    }
    for path in paths {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// Beside the outer build's profiles (`TARGET/PROFILE/build/PACKAGE/out`): its lock is another one than theirs, and they share what
/// is compiled.
fn target_directory(out: &Path) -> PathBuf {
    out.ancestors().nth(4).unwrap_or(out).join("plugins")
}

/// rustup installs the targets of rust-toolchain.toml by itself, but not where RUSTUP_AUTO_INSTALL=0 is set.
fn add_target(root: &Path) -> Result<()> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(root)
        .output()?;
    let libraries = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && Path::new(libraries.trim()).exists() {
        return Ok(());
    }
    let toolchain = env::var("RUSTUP_TOOLCHAIN").ok();
    let mut arguments = vec!["target", "add", TARGET];
    if let Some(toolchain) = &toolchain {
        arguments.extend(["--toolchain", toolchain.as_str()]);
    }
    let status = Command::new("rustup")
        .args(&arguments)
        .current_dir(root)
        .status();
    if status.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err(format!(
        "the plugins are compiled for {TARGET}, which this toolchain does not have, and rustup did not add it; run:\n    rustup {}",
        arguments.join(" ")
    )
    .into())
}

fn compile(root: &Path, target: &Path, packages: &[&str]) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args([
            "build",
            "--locked",
            "--target",
            TARGET,
            "--profile",
            PROFILE,
        ])
        .arg("--target-dir")
        .arg(target);
    for package in packages {
        command.args(["--package", package]);
    }
    for (key, _) in env::vars_os() {
        if key.to_str().is_some_and(is_of_the_outer_build) {
            command.env_remove(key);
        }
    }
    let status = command.status()?;
    if !status.success() {
        return Err(format!(
            "the plugins did not compile ({}); what rustc says about them is below, under \"--- stderr\"",
            packages.join(", ")
        )
        .into());
    }
    Ok(())
}

/// What is meant for the host's compiler: flags, profile, features, clippy as the compiler. The jobserver, the network
/// settings and the choice of toolchain are for both.
fn is_of_the_outer_build(key: &str) -> bool {
    const EXACT: [&str; 12] = [
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_LINKER",
        "CLIPPY_ARGS",
        "CLIPPY_CONF_DIR",
        "TARGET",
        "HOST",
        "OUT_DIR",
        "OPT_LEVEL",
        "DEBUG",
        "PROFILE",
    ];
    const KEPT: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_MAKEFLAGS",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_ALIAS_",
    ];
    EXACT.contains(&key)
        || (key.starts_with("CARGO") && !KEPT.iter().any(|kept| key.starts_with(kept)))
}

/// Writes `plugins.rs`, which `src/plugin/embedded.rs` includes. It names no absolute path: a target directory may be moved.
fn embed(out: &Path, plugins: &[Plugin], compiled: &dyn Fn(&str) -> PathBuf) -> Result<()> {
    let mut code = String::from("pub static EMBEDDED: &[EmbeddedPlugin] = &[\n");
    for Plugin { directory, name } in plugins {
        let wasm = out.join(format!("{name}.wasm"));
        let from = compiled(name);
        fs::copy(&from, &wasm).map_err(|error| format!("{}: {error}", from.display()))?;
        let manifest = directory.join("plugin.toml");
        let manifest = if manifest.exists() {
            fs::read_to_string(manifest)?
        } else {
            String::new()
        };
        writeln!(
            code,
            "    EmbeddedPlugin {{ name: {name:?}, manifest: {manifest:?}, bytes: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.wasm\")) }},"
        )?;
    }
    code.push_str("];\n");
    fs::write(out.join("plugins.rs"), code)?;
    Ok(())
}
