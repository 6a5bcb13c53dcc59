//! Compiles a plugin's folder to a component beside its `plugin.toml`, with the language's own compiler. What is missing is named with
//! the command that gets it. Doesn't judge the component.

use crate::plugin::{LoadError, component_of};
use serde_json::Value;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The target whose output is a component: taken where the folder chooses none of [`TARGETS`].
const TARGET: &str = "wasm32-wasip2";
/// The output of the others is a core module, of which a component is made here.
const TARGETS: [&str; 3] = [TARGET, "wasm32-wasip1", "wasm32-unknown-unknown"];

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("there is no folder {}", .0.display())]
    NoFolder(PathBuf),
    #[error(
        "{} has no Cargo.toml: it is not the folder of a plugin in Rust; `wasmilter plugin new NAME --lang rust` makes one",
        .0.display()
    )]
    NoProject(PathBuf),
    #[error(
        "cargo is not there, the compiler's driver; get it from https://rustup.rs:\n    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    )]
    NoCargo,
    #[error(
        "the toolchain has no target {target}, and it could not be added ({why}); run:\n    {command}"
    )]
    NoTarget {
        target: &'static str,
        why: String,
        command: String,
    },
    #[error("{}: it does not compile; what the compiler says is above", .0.display())]
    Compiler(PathBuf),
    #[error(
        "{}: it compiles, but not to a component; in Cargo.toml there must be\n    [lib]\n    crate-type = [\"cdylib\"]",
        .0.display()
    )]
    NoComponent(PathBuf),
    #[error("{}: {error}", path.display())]
    Component { path: PathBuf, error: LoadError },
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// What came out.
#[derive(Debug)]
pub struct Built {
    /// NAME.wasm in the plugin's folder.
    pub component: PathBuf,
    pub octets: u64,
    /// This target was not there and has been added.
    pub target_added: Option<&'static str>,
    /// The compiler's output was a core module.
    pub was_module: bool,
}

/// Runs `cargo build --release --target wasm32-wasip2` in the folder, its messages to standard error; with another target of
/// WebAssembly if its `.cargo/config.toml` names one.
pub fn build(directory: &Path) -> Result<Built, BuildError> {
    if !directory.is_dir() {
        return Err(BuildError::NoFolder(directory.to_owned()));
    }
    if !directory.join("Cargo.toml").is_file() {
        return Err(BuildError::NoProject(directory.to_owned()));
    }
    let target = target(directory);
    let target_added = add_target(directory, target)?.then_some(target);
    let (name, artifact) = compile(directory, target)?;
    let component = directory.join(format!("{name}.wasm"));
    let fail = |error| BuildError::Io {
        path: component.clone(),
        error,
    };
    // By renaming: a server that watches the folder never sees half of it.
    let aside = directory.join(format!(".{name}.wasm.new"));
    let compiled = fs::read(&artifact).map_err(fail)?;
    let octets = component_of(&compiled).map_err(|error| BuildError::Component {
        path: artifact,
        error,
    })?;
    fs::write(&aside, &octets).map_err(fail)?;
    fs::rename(&aside, &component).map_err(fail)?;
    Ok(Built {
        component,
        octets: octets.len() as u64,
        target_added,
        was_module: matches!(octets, Cow::Owned(_)),
    })
}

/// The one that the folder's own configuration of cargo names, if it is WebAssembly's.
fn target(directory: &Path) -> &'static str {
    let named = ["config.toml", "config"].into_iter().find_map(|name| {
        let text = fs::read_to_string(directory.join(".cargo").join(name)).ok()?;
        let table = text.parse::<toml::Table>().ok()?;
        let target = table.get("build")?.get("target")?.as_str()?;
        TARGETS.into_iter().find(|known| *known == target)
    });
    named.unwrap_or(TARGET)
}

fn cargo() -> Command {
    let mut command = Command::new("cargo");
    // Flags for the machine's own processor mean nothing to this target.
    command.env_remove("RUSTFLAGS");
    command
}

/// True if it was not there before.
fn add_target(directory: &Path, target: &'static str) -> Result<bool, BuildError> {
    let there = cargo().arg("--version").output();
    if let Err(error) = there {
        return Err(match error.kind() {
            io::ErrorKind::NotFound => BuildError::NoCargo,
            _ => BuildError::Io {
                path: PathBuf::from("cargo"),
                error,
            },
        });
    }
    // In its folder, which may choose a toolchain.
    let output = Command::new("rustc")
        .current_dir(directory)
        .args(["--print", "target-libdir", "--target", target])
        .output();
    if let Ok(output) = output {
        let libraries = String::from_utf8_lossy(&output.stdout);
        // What else may be wrong with the compiler, the build says better.
        if !output.status.success() || Path::new(libraries.trim()).exists() {
            return Ok(false);
        }
    }
    let arguments = ["target", "add", target];
    let why = match Command::new("rustup")
        .args(arguments)
        .current_dir(directory)
        .status()
    {
        Ok(status) if status.success() => return Ok(true),
        Ok(status) => format!("rustup: {status}"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "there is no rustup; the package manager that installed Rust may have the target"
                .to_owned()
        }
        Err(error) => format!("rustup: {error}"),
    };
    Err(BuildError::NoTarget {
        target,
        why,
        command: format!("rustup {}", arguments.join(" ")),
    })
}

/// The package's name and the file that was made of it.
fn compile(directory: &Path, target: &str) -> Result<(String, PathBuf), BuildError> {
    let io = |error| BuildError::Io {
        path: PathBuf::from("cargo"),
        error,
    };
    let mut child = cargo()
        .current_dir(directory)
        .args(["build", "--release", "--target", target])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(io)?;
    let mut messages = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut messages).map_err(io)?;
    }
    if !child.wait().map_err(io)?.success() {
        return Err(BuildError::Compiler(directory.to_owned()));
    }
    let manifest = fs::canonicalize(directory.join("Cargo.toml")).map_err(io)?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| artifact(&message, &manifest))
        .next_back()
        .ok_or_else(|| BuildError::NoComponent(directory.to_owned()))
}

/// Of a message of cargo's, if it is about this package's component.
fn artifact(message: &Value, manifest: &Path) -> Option<(String, PathBuf)> {
    if message.get("reason")? != "compiler-artifact"
        || Path::new(message.get("manifest_path")?.as_str()?) != manifest
    {
        return None;
    }
    let kinds = message.get("target")?.get("kind")?.as_array()?;
    if !kinds.iter().any(|kind| kind == "cdylib") {
        return None;
    }
    let files = message.get("filenames")?.as_array()?;
    let file = files
        .iter()
        .filter_map(Value::as_str)
        .map(PathBuf::from)
        .find(|file| file.extension() == Some(OsStr::new("wasm")))?;
    // The file has underscores where the package's name has hyphens.
    let text = fs::read_to_string(manifest).ok()?;
    let table = text.parse::<toml::Table>().ok()?;
    let name = table.get("package")?.get("name")?.as_str()?;
    Some((name.to_owned(), file))
}
