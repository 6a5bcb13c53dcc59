//! `results`: what is known about the message so far.

use crate::plugin::abi::generated::results::{AuthenticationResult, Host, Symbol};
use crate::plugin::state::State;

impl Host for State {
    fn authentication(&mut self) -> Vec<AuthenticationResult> {
        self.count();
        let results = self.view().map(|view| &*view.authentication);
        results
            .unwrap_or_default()
            .iter()
            .map(|result| AuthenticationResult {
                method: result.method.clone(),
                outcome: result.outcome.clone(),
                property: result.property.clone(),
            })
            .collect()
    }

    fn symbols(&mut self) -> Vec<Symbol> {
        self.count();
        State::symbols(self)
            .map(|symbol| Symbol {
                name: symbol.name.clone(),
                score: symbol.score,
                reason: symbol.reason.clone(),
                by: symbol.by.clone(),
            })
            .collect()
    }
}
