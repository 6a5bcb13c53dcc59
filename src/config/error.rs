//! Errors of the configuration that show the line and say what to do.

use super::Source;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;
use std::path::Path;

/// One error, ready to be shown to a person.
#[derive(Debug, Clone)]
pub struct ConfigError(String);

impl ConfigError {
    pub(super) fn at(
        source: &Source,
        span: Range<usize>,
        what: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let (what, help) = (what.into(), help.into());
        let path = source.path.display().to_string();
        let end = source.text.len();
        let span = span.start.min(end)..span.end.min(end);
        let snippet = Snippet::source(&source.text)
            .path(&path)
            .annotation(AnnotationKind::Primary.span(span));
        let mut group = Level::ERROR.primary_title(&what).element(snippet);
        if !help.is_empty() {
            group = group.element(Level::HELP.message(&help));
        }
        Self(Renderer::plain().render(&[group]))
    }

    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self(format!(
            "error: {} cannot be read: {error}\n  help: name the configuration with --config FILE; \
             docs/administrator.md has one to start from",
            path.display()
        ))
    }

    pub(super) fn syntax(source: &Source, error: &toml::de::Error) -> Self {
        let help = if error.message().starts_with("unknown field") {
            "docs/administrator.md lists every key"
        } else {
            ""
        };
        Self::at(source, error.span().unwrap_or(0..0), error.message(), help)
    }

    /// An error that belongs to no line.
    pub fn general(what: impl fmt::Display) -> Self {
        Self(format!("error: {what}"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}
