//! The parameters of delivery status notifications (RFC 3461 §4): RET, ENVID, NOTIFY, ORCPT.
//! Sends no notices.

use super::syntax;
use crate::mail::{Reply, Ret};

/// RFC 3461 §4.4
const ENVID_MAX: usize = 100;
/// RFC 3461 §4.2
const ORCPT_MAX: usize = 500;

/// RFC 3461 §4.3
pub(super) fn ret(value: Option<&str>) -> Result<Ret, Reply> {
    match value {
        Some(value) if value.eq_ignore_ascii_case("FULL") => Ok(Ret::Full),
        Some(value) if value.eq_ignore_ascii_case("HDRS") => Ok(Ret::Headers),
        _ => Err(syntax("Syntax error: RET takes FULL or HDRS")),
    }
}

/// RFC 3461 §4.4
pub(super) fn envid(value: Option<&str>) -> Result<String, Reply> {
    value
        .filter(|value| value.len() <= ENVID_MAX && is_xtext(value))
        .map(str::to_owned)
        .ok_or_else(|| {
            syntax("Syntax error: ENVID takes up to 100 characters of xtext (RFC 3461 4)")
        })
}

/// RFC 3461 §4.1: NEVER alone, or each of the others once. In capitals.
pub(super) fn notify(value: Option<&str>) -> Result<String, Reply> {
    let value = value.unwrap_or_default().to_ascii_uppercase();
    let mut seen = Vec::new();
    for word in value.split(',') {
        if !["NEVER", "SUCCESS", "FAILURE", "DELAY"].contains(&word) || seen.contains(&word) {
            return Err(bad_notify());
        }
        seen.push(word);
    }
    if seen.len() > 1 && seen.contains(&"NEVER") {
        return Err(bad_notify());
    }
    Ok(value)
}

fn bad_notify() -> Reply {
    syntax("Syntax error: NOTIFY takes NEVER, or some of SUCCESS,FAILURE,DELAY")
}

/// RFC 3461 §4.2: `type;address`, the address in xtext; that of type utf-8 as RFC 6533 §3 has it.
pub(super) fn original(value: Option<&str>) -> Result<String, Reply> {
    let fine = |value: &&str| {
        value.len() <= ORCPT_MAX
            && value.split_once(';').is_some_and(|(kind, address)| {
                let atom = !kind.is_empty() && kind.bytes().all(is_atext);
                let address_fine = if kind.eq_ignore_ascii_case("utf-8") {
                    is_utf8_xtext(address)
                } else {
                    is_xtext(address)
                };
                atom && !address.is_empty() && address_fine
            })
    };
    value.filter(fine).map(str::to_owned).ok_or_else(|| {
        syntax(
            "Syntax error: ORCPT takes a type, a semicolon and an address in xtext (RFC 3461 4.2)",
        )
    })
}

/// RFC 5322 §3.2.3
fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet)
}

/// RFC 3461 §4: "+" stands only before two hexadecimal digits in capitals. What they stand for is held to printable characters, so that no
/// line end gets into a notice once it is decoded.
fn is_xtext(value: &str) -> bool {
    let mut octets = value.bytes();
    while let Some(octet) = octets.next() {
        let fine = match octet {
            b'+' => match (octets.next().and_then(hex), octets.next().and_then(hex)) {
                (Some(high), Some(low)) => (0x20..0x7f).contains(&(high * 16 + low)),
                _ => false,
            },
            b'=' => false,
            octet => octet.is_ascii_graphic(),
        };
        if !fine {
            return false;
        }
    }
    true
}

fn hex(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

/// RFC 6533 §3: `\x{HEX}` for a character that can't stand for itself, and characters outside ASCII for themselves.
fn is_utf8_xtext(value: &str) -> bool {
    let mut rest = value;
    while let Some(first) = rest.chars().next() {
        let used = if first == '\\' {
            let escaped = rest
                .strip_prefix("\\x{")
                .and_then(|escaped| escaped.split_once('}'))
                .map(|(digits, _)| digits)
                .filter(|digits| {
                    (2..=6).contains(&digits.len()) && digits.bytes().all(|b| hex(b).is_some())
                });
            let Some(digits) = escaped else { return false };
            let character = u32::from_str_radix(digits, 16)
                .ok()
                .and_then(char::from_u32);
            if character.is_none_or(char::is_control) {
                return false;
            }
            "\\x{}".len() + digits.len()
        } else if first == '+' || first == '=' || first == ' ' || first.is_control() {
            return false;
        } else {
            first.len_utf8()
        };
        rest = rest.get(used..).unwrap_or_default();
    }
    true
}
