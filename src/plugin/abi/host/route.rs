//! `route`: whether and which way the message goes on.

use super::only;
use crate::mail::{Edit, Line};
use crate::plugin::abi::generated::route::Host;
use crate::plugin::abi::generated::types::{Refusal, Scope};
use crate::plugin::state::{Refused, State};

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

impl Host for State {
    fn hold(&mut self, why: String, scope: Scope) -> Result<(), Refusal> {
        self.count();
        let result = hold(&why).and_then(|edit| {
            let scope = self.scope(only(scope))?;
            self.edit_filing(edit, scope)
        });
        self.answer("route.hold", result)
    }

    fn via(&mut self, _: String, _: Scope) -> Result<(), Refusal> {
        self.count();
        let refused = Refused::Failed("this version does not relay yet".to_owned());
        self.answer("route.via", Err(refused))
    }
}
