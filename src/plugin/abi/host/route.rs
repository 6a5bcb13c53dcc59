//! `route`: whether and which way the message goes on.

use super::only;
use crate::mail::{Edit, Line};
use crate::plugin::abi::generated::route::Host;
use crate::plugin::abi::generated::types::{Refusal, Scope};
use crate::plugin::state::{Refused, State, nothing_yet};

const MAX_WHY: usize = 1000;

fn hold(why: &str) -> Result<Edit, Refused> {
    if why.len() > MAX_WHY {
        return Err(Refused::TooMuch(format!(
            "a reason of {} octets: the limit is {MAX_WHY}",
            why.len()
        )));
    }
    Ok(Edit::Hold {
        why: Line::lossy(why).into(),
    })
}

impl State {
    fn known(&self, next_hop: &str) -> Result<(), Refused> {
        let view = self.view().ok_or_else(nothing_yet)?;
        if view.next_hops.is_empty() {
            return Err(Refused::Failed(
                "this message is not handed on: its listener has no next hop".to_owned(),
            ));
        }
        if view.next_hops.iter().any(|known| known == next_hop) {
            return Ok(());
        }
        Err(Refused::NoSuchThing(format!(
            "there is no next hop {next_hop:?}; the server's configuration has {}",
            view.next_hops.join(", ")
        )))
    }
}

impl Host for State {
    fn hold(&mut self, why: String, scope: Scope) -> Result<(), Refusal> {
        self.count();
        let result = hold(&why).and_then(|edit| {
            let scope = self.scope(only(scope))?;
            self.edit_filing(edit, scope)
        });
        self.answer("route.hold", result)
    }

    fn via(&mut self, next_hop: String, scope: Scope) -> Result<(), Refusal> {
        self.count();
        let result = self.known(&next_hop).and_then(|()| {
            let scope = self.scope(only(scope))?;
            self.edit_filing(Edit::Via(next_hop), scope)
        });
        self.answer("route.via", result)
    }
}
