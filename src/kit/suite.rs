//! All cases of a plugin, one after the other, in the real host. Prints nothing; what it rewrites, it was told to.

use super::case::{Case, CaseError};
use super::expect::{Difference, Observed};
use super::play::play;
use super::stage::Stage;
use crate::mail::{Filter, LogLine, Symbol};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    #[error(
        "{} has no cases: a case is a message NAME.eml with its NAME.toml; put a message there, and `wasmilter plugin test --bless` writes the other",
        .0.display()
    )]
    None(PathBuf),
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

#[derive(Debug)]
pub struct Report {
    pub plugin: String,
    pub cases: Vec<CaseReport>,
}

#[derive(Debug)]
pub struct CaseReport {
    /// The name of its files without extension.
    pub name: String,
    pub about: String,
    pub end: CaseEnd,
    /// What the plugin gave and logged, for a reader of failures.
    pub symbols: Vec<Symbol>,
    pub log: Vec<LogLine>,
    pub elapsed: Duration,
}

#[derive(Debug)]
pub enum CaseEnd {
    Passed,
    Failed(Vec<Difference>),
    /// Its expectations were rewritten; these were the differences.
    Blessed(Vec<Difference>),
    /// It could not be run.
    Malformed(String),
}

impl Report {
    pub fn passed(&self) -> usize {
        self.count(|end| matches!(end, CaseEnd::Passed))
    }

    pub fn blessed(&self) -> usize {
        self.count(|end| matches!(end, CaseEnd::Blessed(_)))
    }

    pub fn failed(&self) -> usize {
        self.count(|end| matches!(end, CaseEnd::Failed(_)))
    }

    pub fn malformed(&self) -> usize {
        self.count(|end| matches!(end, CaseEnd::Malformed(_)))
    }

    pub fn is_good(&self) -> bool {
        self.failed() + self.malformed() == 0
    }

    fn count(&self, which: impl Fn(&CaseEnd) -> bool) -> usize {
        self.cases.iter().filter(|case| which(&case.end)).count()
    }
}

/// `stage` has the services that the plugin was loaded with. `directory` holds `NAME.eml` and `NAME.toml`. With `bless`, expectations that don't hold are rewritten and missing ones written.
pub async fn run_cases(
    filter: &Arc<dyn Filter>,
    stage: &Stage,
    directory: &Path,
    bless: bool,
) -> Result<Report, SuiteError> {
    let mut cases = Vec::new();
    for name in names(directory)? {
        let started = Instant::now();
        let mut report = CaseReport {
            about: String::new(),
            end: CaseEnd::Passed,
            symbols: Vec::new(),
            log: Vec::new(),
            elapsed: Duration::ZERO,
            name,
        };
        let stem = directory.join(&report.name);
        report.end = match run_case(filter, stage, &stem, bless, &mut report).await {
            Ok(end) => end,
            Err(error) => CaseEnd::Malformed(error.to_string()),
        };
        report.elapsed = started.elapsed();
        cases.push(report);
    }
    if cases.is_empty() {
        return Err(SuiteError::None(directory.to_owned()));
    }
    Ok(Report {
        plugin: filter.info().name.clone(),
        cases,
    })
}

/// Of messages and of what is expected of them: one without the other is an error to be told.
fn names(directory: &Path) -> Result<BTreeSet<String>, SuiteError> {
    if !directory.is_dir() {
        return Err(SuiteError::None(directory.to_owned()));
    }
    let fail = |error| SuiteError::Io {
        path: directory.to_owned(),
        error,
    };
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let extension = path.extension().and_then(OsStr::to_str);
        if matches!(extension, Some("eml" | "toml")) {
            names.extend(path.file_stem().and_then(OsStr::to_str).map(str::to_owned));
        }
    }
    Ok(names)
}

async fn run_case(
    filter: &Arc<dyn Filter>,
    stage: &Stage,
    stem: &Path,
    bless: bool,
    report: &mut CaseReport,
) -> Result<CaseEnd, CaseError> {
    // Not `with_extension`: a name may have dots.
    let file = |extension: &str| {
        let mut path = stem.as_os_str().to_owned();
        path.push(extension);
        PathBuf::from(path)
    };
    let (message, expectations) = (file(".eml"), file(".toml"));
    let whole = |path: &Path, text: String| CaseError::Whole {
        path: path.to_owned(),
        text,
    };
    if !message.is_file() {
        let name = message.file_name().unwrap_or_default().display();
        return Err(whole(
            &expectations,
            format!("there is no {name} beside it: a case needs its message"),
        ));
    }
    let text = match fs::read_to_string(&expectations) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && bless => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = expectations.file_name().unwrap_or_default().display();
            return Err(whole(
                &message,
                format!(
                    "there is no {name} beside it; `wasmilter plugin test --bless` writes it from what the plugin does now"
                ),
            ));
        }
        Err(error) => return Err(whole(&expectations, error.to_string())),
    };
    let case = match &text {
        Some(text) => Case::parse(&expectations, text)?,
        None => Case::draft(&message)?,
    };
    report.about.clone_from(&case.about);

    let content =
        super::read_message(&message).map_err(|error| whole(&message, error.to_string()))?;
    let scene = case.scene(&expectations)?;
    stage.set(scene.services());
    let (transaction, given) = case.play(content);
    let done = play(&[given, Arc::clone(filter)], transaction)
        .await
        .map_err(|error| whole(&message, error.to_string()))?;
    let plugin = &filter.info().name;
    for turn in done.turns().filter(|turn| turn.filter == *plugin) {
        report.symbols.extend(turn.symbols.iter().cloned());
        report.log.extend(turn.log.iter().cloned());
    }
    let observed = Observed::of(plugin, &case.envelope.recipients, &done, &scene);
    let differences = case.expect.differences(&observed);
    if differences.is_empty() && text.is_some() {
        return Ok(CaseEnd::Passed);
    }
    // A plugin that fails is never what its author wants, and what it does without an answer tells little.
    if !bless || !observed.failures.is_empty() || !observed.unrecorded.is_empty() {
        return Ok(CaseEnd::Failed(differences));
    }
    let expect = case.expect.blessed(&observed);
    let rewritten = match &text {
        Some(text) => Case::with_expectations(&expectations, text, &expect)?,
        None => Case { expect, ..case }.to_toml(),
    };
    fs::write(&expectations, rewritten).map_err(|error| whole(&expectations, error.to_string()))?;
    Ok(CaseEnd::Blessed(differences))
}
