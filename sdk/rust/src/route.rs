//! Which way a message goes on.

use crate::Asked;
use crate::bindings::route;
use crate::bindings::types::Scope;
use crate::verdict::only;

/// Set it aside, for this reason, once all filters have had their say; it goes on when the administrator releases it.
/// At `deliver` it is for that recipient, before it for all of them.
pub fn hold(why: &str) -> Asked {
    route::hold(why, &Scope::All).into()
}

pub fn hold_for(recipients: &[&str], why: &str) -> Asked {
    route::hold(why, &only(recipients)).into()
}
