//! From what the library found to results in the words of RFC 8601 §2.7. Decides nothing.

use crate::mail::AuthenticationResult;
use mail_auth::dkim::DkimError;
use mail_auth::{DkimOutput, dkim::Signature};
use mail_auth::{DkimResult, DmarcOutput, DmarcResult, Error, IprevOutput, IprevResult, SpfResult};
use std::net::IpAddr;

/// Octets of a value that a client chose, as it is written; a domain name has at most 255. Lines have at most 998 (RFC 5322 §2.1.1).
const VALUE_MAX: usize = 256;

pub fn result(method: &str, outcome: &str, property: String) -> AuthenticationResult {
    AuthenticationResult {
        method: method.to_owned(),
        outcome: outcome.to_owned(),
        property,
        reason: None,
    }
}

/// `name=value`, the value quoted where RFC 8601 §2.2 wants it; it may come from anybody and hold anything.
pub fn property(name: &str, value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`{|}~@".contains(c);
    if !value.is_empty() && value.len() <= VALUE_MAX && value.chars().all(plain) {
        return format!("{name}={value}");
    }
    format!("{name}={}", quoted(value))
}

/// As a quoted-string (RFC 5322 §3.2.4).
pub fn quoted(value: &str) -> String {
    let mut quoted = String::new();
    for c in value.chars() {
        if quoted.len() + 4 > VALUE_MAX {
            break;
        }
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c if !c.is_ascii() && !c.is_control() => quoted.push(c),
            _ => quoted.push('?'),
        }
    }
    format!("\"{quoted}\"")
}

pub fn iprev(output: &IprevOutput, client: IpAddr) -> AuthenticationResult {
    let (outcome, reason) = match output.result() {
        IprevResult::Pass => ("pass", None),
        IprevResult::Fail(error) => ("fail", Some(error)),
        IprevResult::TempError(error) => ("temperror", Some(error)),
        IprevResult::PermError(error) => ("permerror", Some(error)),
        IprevResult::None => ("none", None),
    };
    AuthenticationResult {
        reason: reason.map(ToString::to_string),
        ..result(
            "iprev",
            outcome,
            property("policy.iprev", &client.to_string()),
        )
    }
}

pub fn spf_word(result: SpfResult) -> &'static str {
    match result {
        SpfResult::Pass => "pass",
        SpfResult::Fail => "fail",
        SpfResult::SoftFail => "softfail",
        SpfResult::Neutral => "neutral",
        SpfResult::TempError => "temperror",
        SpfResult::PermError => "permerror",
        SpfResult::None => "none",
    }
}

pub fn dkim(output: &DkimOutput<'_>) -> AuthenticationResult {
    let (outcome, reason) = match output.result() {
        DkimResult::Pass => ("pass", None),
        // The library is neutral about a body that is not what was signed; RFC 8601 §2.7.1 is not.
        DkimResult::Neutral(error @ Error::Dkim(DkimError::FailedBodyHashMatch))
        | DkimResult::Fail(error) => ("fail", Some(error)),
        DkimResult::Neutral(error) => ("neutral", Some(error)),
        DkimResult::PermError(error) => ("permerror", Some(error)),
        DkimResult::TempError(error) => ("temperror", Some(error)),
        DkimResult::None => ("none", None),
    };
    AuthenticationResult {
        reason: reason.map(ToString::to_string),
        ..result(
            "dkim",
            outcome,
            output.signature().map(signature).unwrap_or_default(),
        )
    }
}

/// RFC 8601 §2.7.1, RFC 6008
pub fn signature(signature: &Signature) -> String {
    use base64::Engine;
    let octets = signature.b.get(..6).unwrap_or(&signature.b);
    let start = base64::engine::general_purpose::STANDARD.encode(octets);
    format!(
        "{} {} {}",
        property("header.d", &signature.d),
        property("header.s", &signature.s),
        property("header.b", &start)
    )
}

/// RFC 8617 §10.2 knows no more than pass, fail and none; a key that cannot be fetched now is no failure.
pub fn arc(found: &DkimResult) -> AuthenticationResult {
    let (outcome, reason) = match found {
        DkimResult::Pass => ("pass", None),
        DkimResult::None => ("none", None),
        DkimResult::TempError(error) => ("temperror", Some(error)),
        DkimResult::Neutral(error) | DkimResult::Fail(error) | DkimResult::PermError(error) => {
            ("fail", Some(error))
        }
    };
    AuthenticationResult {
        reason: reason.map(ToString::to_string),
        ..result("arc", outcome, String::new())
    }
}

pub fn dmarc(output: &DmarcOutput) -> AuthenticationResult {
    let outcome = match output.result() {
        DmarcResult::Pass => "pass",
        DmarcResult::Fail(_) => "fail",
        DmarcResult::TempError(_) => "temperror",
        DmarcResult::PermError(_) => "permerror",
        DmarcResult::None => "none",
    };
    AuthenticationResult {
        reason: (outcome == "fail").then(|| format!("the domain's policy is {}", output.policy())),
        ..result("dmarc", outcome, property("header.from", output.domain()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_end_the_property_they_are_in() {
        for (value, written) in [
            ("example.org", "p=example.org"),
            ("a@example.org", "p=a@example.org"),
            ("", "p=\"\""),
            ("2001:db8::1", "p=\"2001:db8::1\""),
            ("x; dmarc=pass", "p=\"x; dmarc=pass\""),
            ("a\"b\\", "p=\"a\\\"b\\\\\""),
            ("a\r\nX: y", "p=\"a??X: y\""),
        ] {
            assert_eq!(property("p", value), written);
        }
        for long in ["x", "\"", "\u{1f600}"] {
            assert!(property("p", &long.repeat(10_000)).len() < 300);
        }
    }
}
