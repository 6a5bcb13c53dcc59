//! The parameters of MAIL and RCPT that a filter can give to an envelope (RFC 3461 §4).
//! Those that speak of the message itself (SIZE, BODY, SMTPUTF8) are the client's alone.

use super::path::{Parameter, parameters};
use super::{dsn, given_twice, unknown_parameter};
use crate::mail::{Reply, Ret};

/// RET and ENVID, such as "RET=HDRS ENVID=x".
pub fn of_sender(text: &str) -> Result<(Option<Ret>, Option<String>), Reply> {
    let (mut ret, mut envid) = (None, None);
    for parameter in parameters(text) {
        let Parameter { keyword, value } = parameter?;
        let twice = if keyword.eq_ignore_ascii_case("RET") {
            ret.replace(dsn::ret(value)?).is_some()
        } else if keyword.eq_ignore_ascii_case("ENVID") {
            envid.replace(dsn::envid(value)?).is_some()
        } else {
            return Err(unknown_parameter(keyword));
        };
        if twice {
            return Err(given_twice());
        }
    }
    Ok((ret, envid))
}

/// NOTIFY and ORCPT, such as "NOTIFY=NEVER".
pub fn of_recipient(text: &str) -> Result<(Option<String>, Option<String>), Reply> {
    let (mut notify, mut original) = (None, None);
    for parameter in parameters(text) {
        let Parameter { keyword, value } = parameter?;
        let twice = if keyword.eq_ignore_ascii_case("NOTIFY") {
            notify.replace(dsn::notify(value)?).is_some()
        } else if keyword.eq_ignore_ascii_case("ORCPT") {
            original.replace(dsn::original(value)?).is_some()
        } else {
            return Err(unknown_parameter(keyword));
        };
        if twice {
            return Err(given_twice());
        }
    }
    Ok((notify, original))
}
