//! Rules on results of sender authentication, where the server has some.
//! Checks nothing itself.

use crate::engine::Findings;
use crate::message::Message;
use crate::rules::Rule;

pub(crate) fn apply(message: &Message, findings: &mut Findings<'_>) {
    findings.give_if(message.authenticated, Rule::Authenticated);
    for (method, outcome) in &message.authentication {
        match (method.as_str(), outcome.as_str()) {
            ("spf", "fail") => findings.give(Rule::SpfFail),
            ("spf", "softfail") => findings.give(Rule::SpfSoftfail),
            ("dmarc", "fail") => findings.give(Rule::DmarcFail),
            ("dmarc", "pass") => findings.give(Rule::DmarcPass),
            _ => {}
        }
    }
    // Of several signatures one good one is enough: lists break those that came with the message.
    let dkim = |wanted: &str| {
        message
            .authentication
            .iter()
            .any(|(method, outcome)| method == "dkim" && outcome == wanted)
    };
    if dkim("pass") {
        findings.give(Rule::DkimPass);
    } else if dkim("fail") && !message.is_list() {
        findings.give(Rule::DkimFail);
    }
}
