//! `config`: the plugin's own part of its manifest.

use crate::plugin::abi::generated::config::Host;
use crate::plugin::state::State;

impl Host for State {
    fn json(&mut self) -> String {
        self.count();
        self.profile().config.clone()
    }
}
