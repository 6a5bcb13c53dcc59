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

/// Hand it to this next hop, by the name that the server's configuration gives it, in place of the listener's own. The last call
/// wins. Refused where messages are not handed on. At `relay` it is for that recipient, before it for all of them.
pub fn via(next_hop: &str) -> Asked {
    route::via(next_hop, &Scope::All).into()
}

pub fn via_for(recipients: &[&str], next_hop: &str) -> Asked {
    route::via(next_hop, &only(recipients)).into()
}

pub fn hold_for(recipients: &[&str], why: &str) -> Asked {
    route::hold(why, &only(recipients)).into()
}
