//! `plugin.toml`: what a plugin says of itself. Errors name line and column. Does not look at the component beside it.

use super::capability::{Declared, RawTable};
use super::limits::Limits;
use super::rollout::Rollout;
use crate::mail::{Mode, OnError};
use serde::Deserialize;
use std::ops::Range;
use std::time::Duration;

/// Where a plugin stands in the chain if its manifest says nothing.
const DEFAULT_ORDER: u32 = 50;

#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Absent: its folder's or its file's name.
    pub name: Option<String>,
    pub version: Option<String>,
    /// Smaller ones are asked first; ties go by name.
    pub order: u32,
    pub on_error: OnError,
    pub limits: AskedLimits,
    pub rollout: Rollout,
    /// Instances are used for one transaction after another.
    pub warm: bool,
    /// The table `[capabilities]`.
    pub capabilities: Declared,
    /// The table `[config]` as JSON.
    pub config: String,
}

/// Limits that the manifest sets in place of the host's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AskedLimits {
    cpu_ms: Option<u64>,
    wall_ms: Option<u64>,
    memory_mib: Option<u64>,
    concurrency: Option<u32>,
}

impl AskedLimits {
    /// What it asks, or else the default; never more than the most.
    pub fn within(self, default: Limits, most: Limits) -> Limits {
        let millis = |asked: Option<u64>, default| asked.map_or(default, Duration::from_millis);
        let memory = self
            .memory_mib
            .map_or(default.memory, |mib| mib.saturating_mul(1024 * 1024));
        Limits {
            cpu: millis(self.cpu_ms, default.cpu).min(most.cpu),
            wall: millis(self.wall_ms, default.wall).min(most.wall),
            memory: memory.min(most.memory),
            concurrency: self
                .concurrency
                .unwrap_or(default.concurrency)
                .clamp(1, most.concurrency.max(1)),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Raw {
    name: Option<String>,
    version: Option<String>,
    order: Option<u32>,
    #[serde(default)]
    on_error: OnError,
    #[serde(default)]
    mode: Mode,
    share: Option<f64>,
    recipients: Option<Vec<String>>,
    #[serde(default)]
    warm: bool,
    #[serde(default)]
    limits: AskedLimits,
    #[serde(default)]
    capabilities: RawTable,
    #[serde(default)]
    config: toml::Table,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("line {line}, column {column}: {text}")]
    At {
        line: usize,
        column: usize,
        text: String,
    },
    #[error("{0}")]
    Whole(String),
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            name: None,
            version: None,
            order: DEFAULT_ORDER,
            on_error: OnError::default(),
            limits: AskedLimits::default(),
            rollout: Rollout::default(),
            warm: false,
            capabilities: Declared::default(),
            config: "{}".to_owned(),
        }
    }
}

impl Manifest {
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let raw: Raw =
            toml::from_str(text).map_err(|error| placed(text, error.span(), error.message()))?;
        if let Some(name) = &raw.name {
            check_name(name).map_err(ManifestError::Whole)?;
        }
        if let Some(version) = &raw.version {
            check_version(version).map_err(ManifestError::Whole)?;
        }
        let capabilities = Declared::read(&raw.capabilities)
            .map_err(|fault| placed(text, Some(fault.span), &fault.text))?;
        let config = serde_json::to_string(&raw.config)
            .map_err(|error| ManifestError::Whole(format!("[config]: {error}")))?;
        let rollout =
            Rollout::new(raw.mode, raw.share, raw.recipients).map_err(ManifestError::Whole)?;
        Ok(Self {
            rollout,
            warm: raw.warm,
            name: raw.name,
            version: raw.version,
            order: raw.order.unwrap_or(DEFAULT_ORDER),
            on_error: raw.on_error,
            limits: raw.limits,
            capabilities,
            config,
        })
    }
}

/// Names go into journals, replies and logs.
pub fn check_name(name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let odd = !name.chars().all(fine) || name.starts_with('.');
    if name.is_empty() || name.len() > 64 || odd {
        return Err(format!(
            "{name:?} cannot be the name of a plugin: 1 to 64 letters, digits, '-', '_' and '.', no '.' first"
        ));
    }
    Ok(())
}

/// Versions go where names go.
fn check_version(version: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    if version.is_empty() || version.len() > 64 || !version.chars().all(fine) {
        return Err(format!(
            "{version:?} cannot be the version of a plugin: 1 to 64 letters, digits, '-', '_', '.' and '+'"
        ));
    }
    Ok(())
}

/// An error at its line and column.
pub fn placed(text: &str, span: Option<Range<usize>>, message: &str) -> ManifestError {
    let message = message.to_owned();
    let Some(before) = span.and_then(|span| text.get(..span.start)) else {
        return ManifestError::Whole(message);
    };
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    ManifestError::At {
        line: before.matches('\n').count() + 1,
        column: before
            .get(line_start..)
            .map_or(0, |line| line.chars().count())
            + 1,
        text: message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_default() {
        assert_eq!(Manifest::parse("").unwrap(), Manifest::default());
        let manifest = Manifest::parse("[config]\nwords = [\"a\"]").unwrap();
        assert_eq!(manifest.config, r#"{"words":["a"]}"#);
        assert_eq!((manifest.order, manifest.on_error), (50, OnError::Tempfail));
    }

    #[test]
    fn errors_point_at_the_place() {
        let table = [
            ("ordr = 1", (1, 1), "unknown field `ordr`"),
            ("name = \"a\"\norder = \"x\"", (2, 9), "expected u32"),
            ("[limits]\n  cpu = 3", (2, 3), "unknown field `cpu`"),
            ("on-error = \"drop\"", (1, 12), "unknown variant `drop`"),
            ("order = ", (1, 9), ""),
            (
                "[capabilities]\nheader = [\"X\"]",
                (2, 1),
                "cannot narrow \"header\": what it can is header-edit",
            ),
            (
                "[capabilities]\nheader-edit = [\"X-*\", \"a b\"]",
                (2, 23),
                "such as \"X-Spam-*\"",
            ),
            (
                "[capabilities]\nhttp = [\"api.example.com\"]",
                (2, 9),
                "\"api.example.com:443\"",
            ),
            (
                "[capabilities]\nunused = [\"wasi:gpu\"]",
                (2, 11),
                "write wasi:http",
            ),
            ("[capabilities]\nverdicts = \"reject\"", (2, 12), "sequence"),
        ];
        for (text, place, message) in table {
            match Manifest::parse(text) {
                Err(ManifestError::At {
                    line,
                    column,
                    text: said,
                }) => {
                    assert_eq!((line, column), place, "{text}");
                    assert!(said.contains(message), "{text}: {said}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn names_that_could_mislead_are_refused() {
        for bad in ["", "a b", "a\nb", "../x", "..", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(Manifest::parse("name = \"a/b\"").is_err());
        for bad in [
            "",
            "1 2",
            "1\\n\\nAt on-message",
            "\\u001b[2J",
            &"1".repeat(65),
        ] {
            let manifest = format!("version = \"{bad}\"");
            assert!(Manifest::parse(&manifest).is_err(), "{bad:?}");
        }
        assert!(Manifest::parse("version = \"1.2.3-rc.1+build_5\"").is_ok());
    }

    #[test]
    fn limits_stay_below_the_most() {
        let most = Limits {
            cpu: Duration::from_secs(1),
            wall: Duration::from_secs(10),
            memory: 128 * 1024 * 1024,
            concurrency: 10,
        };
        let manifest = Manifest::parse("[limits]\ncpu-ms = 5000\nmemory-mib = 100").unwrap();
        let limits = manifest.limits.within(Limits::default(), most);
        assert_eq!(limits.cpu, most.cpu);
        assert_eq!(limits.memory, 100 * 1024 * 1024);
        assert_eq!(limits.wall, Limits::default().wall);
        assert_eq!(limits.concurrency, 10);
    }
}
