//! How far a command has come, as a bar on standard error. Where that is no terminal there is none.

use super::terminal;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::Duration;

/// Gone from the screen when dropped.
pub struct Progress(ProgressBar);

impl Progress {
    /// `template` is indicatif's.
    fn new(bar: ProgressBar, template: &str) -> Self {
        if !stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Of so much work; [`Progress::at`] says how much of it is done.
    pub fn of(work: u64) -> Self {
        let bar = ProgressBar::new(work);
        Self::new(bar, "[{bar:40}] {percent:>3} %  {msg}  ({eta} left)")
    }

    /// Of work that nobody knows the size of.
    pub fn waiting(what: &str) -> Self {
        let progress = Self::new(ProgressBar::new_spinner(), "{spinner} {msg}");
        progress.0.set_message(what.to_owned());
        progress
    }

    pub fn at(&self, done: u64, what: impl FnOnce() -> String) {
        self.0.set_position(done);
        if !self.0.is_hidden() {
            self.0.set_message(what());
        }
    }

    /// Prints beside the bar, on standard output.
    pub fn print(&self, line: &str) {
        self.0.suspend(|| terminal::print(&format!("{line}\n")));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
