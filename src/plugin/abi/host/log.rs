//! `log`: lines for the journal and the server's log.

use crate::plugin::abi::generated::log::{Host, Level};
use crate::plugin::state::State;

impl Host for State {
    fn write(&mut self, level: Level, text: String) {
        self.count();
        let level = match level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        self.log(level, &text);
    }
}
