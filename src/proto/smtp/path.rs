//! Paths and parameters of MAIL and RCPT (RFC 5321 §4.1.2).
//! What a parameter means is said in `command`.

use super::syntax;
use crate::mail::{Address, Reply, split_route};

/// The path of `FROM:<path> parameters` without its brackets and source route, and the parameters.
/// `keyword` is "FROM" or "TO".
pub(super) fn split<'a>(arguments: &'a str, keyword: &str) -> Result<(&'a str, &'a str), Reply> {
    let after = arguments
        .split_once(':')
        .filter(|(word, _)| word.eq_ignore_ascii_case(keyword))
        .map(|(_, after)| after)
        .ok_or_else(|| {
            syntax(&format!(
                "Syntax error: {keyword}:<address> is expected here"
            ))
        })?;
    // RFC 5321 §3.3 allows no space behind the colon, and §4.1.1.1 wants those who send one borne with. Many do.
    let inside = after
        .trim_start_matches(' ')
        .strip_prefix('<')
        .ok_or_else(|| syntax("Syntax error: the address must stand between < and >"))?;
    let end = closing(inside).ok_or_else(|| syntax("Syntax error: the > is missing"))?;
    let (path, rest) = inside.split_at(end);
    let parameters = rest.strip_prefix('>').unwrap_or(rest);
    if !parameters.is_empty() && !parameters.starts_with(' ') {
        return Err(syntax("Syntax error: a space is expected behind the >"));
    }
    Ok((without_route(path)?, parameters))
}

/// Where the `>` is that no quoted string holds.
fn closing(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().position(|octet| {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return true,
            _ => {}
        }
        false
    })
}

/// RFC 5321 appendix C: a source route is accepted and ignored. `@a,@b:user@c` is `user@c`.
fn without_route(path: &str) -> Result<&str, Reply> {
    if !path.starts_with('@') {
        return Ok(path);
    }
    let (route, mailbox) =
        split_route(path).ok_or_else(|| syntax("Syntax error: the source route has no end"))?;
    // Each hop is an address without its local part.
    let fine = route
        .split(',')
        .all(|hop| hop.starts_with('@') && Address::parse(&format!("x{hop}")).is_ok());
    if fine && !mailbox.is_empty() {
        Ok(mailbox)
    } else {
        Err(syntax("Syntax error in the source route"))
    }
}

/// One `KEYWORD` or `KEYWORD=value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameter<'a> {
    pub keyword: &'a str,
    pub value: Option<&'a str>,
}

pub(super) fn parameters(text: &str) -> impl Iterator<Item = Result<Parameter<'_>, Reply>> {
    text.split(' ').filter(|word| !word.is_empty()).map(|word| {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let keyword_fine = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
            && keyword
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-');
        // esmtp-value; RFC 6531 §3.3 adds UTF-8.
        let value_fine = value.is_none_or(|value| {
            !value.is_empty()
                && value.chars().all(|c| {
                    (c.is_ascii_graphic() && c != '=') || !(c.is_ascii() || c.is_control())
                })
        });
        if keyword_fine && value_fine {
            Ok(Parameter { keyword, value })
        } else {
            Err(syntax("Syntax error in the parameters"))
        }
    })
}
