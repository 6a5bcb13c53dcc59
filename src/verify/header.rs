//! The Authentication-Results field: ours as text, and others that claim to be ours found (RFC 8601).

use super::results::quoted;
use crate::mail::{AuthenticationResult, Edit, FieldName, Header, HeaderEdit, Scope, Scoped};

const NAME: &str = "Authentication-Results";

/// The whole field, last CRLF included. `server` is our authserv-id.
pub fn field(server: &str, results: &[AuthenticationResult]) -> String {
    let mut out = format!("{NAME}: {server}");
    if results.is_empty() {
        out.push_str("; none");
    }
    for result in results {
        out.push_str(&format!(";\r\n\t{}={}", result.method, result.outcome));
        if let Some(reason) = &result.reason {
            out.push_str(&format!(" reason={}", quoted(reason)));
        }
        if !result.property.is_empty() {
            out.push_str("\r\n\t ");
            out.push_str(&result.property);
        }
    }
    out.push_str("\r\n");
    out
}

/// Edits that remove the fields that name us: nobody before us can have written them (RFC 8601 §5).
pub fn removals(header: &Header, server: &str) -> Vec<Scoped> {
    let Ok(name) = FieldName::new(NAME) else {
        return Vec::new();
    };
    let forged = header
        .get(NAME)
        .zip(1..)
        .filter(|(field, _)| names(field.value(), server));
    let mut edits: Vec<_> = forged
        .map(|(field, nth)| Scoped {
            edit: Edit::Header(HeaderEdit::Remove {
                name: name.clone(),
                nth,
                was: field.text(),
            }),
            scope: Scope::All,
        })
        .collect();
    // From the last on, so that the numbers of those before it stay right.
    edits.reverse();
    edits
}

/// Whether the authserv-id of this field is `server`, or something that a careless reader could take for it: one who knows no quotes and
/// no comments, too.
fn names(value: &[u8], server: &str) -> bool {
    let value = String::from_utf8_lossy(value);
    let plain = value.replace(['"', '(', ')', '\\'], " ");
    [&*value, &plain].into_iter().any(|value| {
        let id = identifier(value);
        id.trim_end_matches('.').eq_ignore_ascii_case(server)
    })
}

/// The first word that could be a host's name. What stands before it is skipped, such as the instance of an ARC field (`i=1;`).
fn identifier(value: &str) -> String {
    let mut depth = 0_u32;
    let mut is_quoted = false;
    let mut id = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if depth > 0 || is_quoted => {
                let escaped = chars.next();
                if depth == 0 {
                    id.extend(escaped);
                }
            }
            '"' if depth == 0 => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            c if c.is_alphanumeric() || "-._".contains(c) => id.push(c),
            c if c.is_whitespace() && id.eq_ignore_ascii_case("i") => {}
            '=' if id.eq_ignore_ascii_case("i") => {
                id.clear();
                chars.by_ref().take_while(|c| *c != ';').for_each(drop);
            }
            _ if id.is_empty() => {}
            _ => break,
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_field_that_names_us_is_removed_however_it_is_written() {
        for (value, forged) in [
            (" mx.example.test; spf=pass", true),
            ("mx.example.test;spf=pass", true),
            (" MX.Example.TEST 1; none", true),
            (" (he (he)) mx.example.test (\\)) ; none", true),
            ("\r\n\t\"mx.example.test\"; none", true),
            (" \"mx.exa\\mple.test\" 1; none", true),
            (" mx.example.test.; none", true),
            (" mx.example.test", true),
            (" mx.example.test/1; none", true),
            (" mx.example.test=1; none", true),
            (" mx.example.test, other.example; none", true),
            (" \"mx.example.test; spf=pass", true),
            (" \"mx.example.test; spf=pass\"; none", true),
            (" (mx.example.test; spf=pass", true),
            (" mx.example.test (; spf=pass", true),
            (" ; mx.example.test; spf=pass", true),
            (" i=1; mx.example.test; spf=pass", true),
            (" I = 1; mx.example.test; spf=pass", true),
            (" other.example (mx.example.test); none", false),
            (" i=1; other.example; note=mx.example.test", false),
            (" other.example; note=mx.example.test", false),
            (" xmx.example.test; none", false),
            (" mx.example.test.evil.example; none", false),
            ("", false),
        ] {
            assert_eq!(
                names(value.as_bytes(), "mx.example.test"),
                forged,
                "{value}"
            );
        }
    }

    #[test]
    fn only_the_forged_ones_go() {
        let header = "Authentication-Results: a.test; none\r\n\
                      authentication-results: mx.example.test; dkim=pass\r\n\
                      Subject: s\r\n\
                      Authentication-Results: mx.example.test; spf=pass\r\n\
                      Authentication-Results: b.test; none\r\n\r\n";
        let mut header = Header::parse(&Bytes::from_static(header.as_bytes()));
        for edit in removals(&header, "mx.example.test") {
            if let Edit::Header(edit) = &edit.edit {
                assert!(header.apply(edit));
            }
        }
        let left: Vec<_> = header.get(NAME).map(|field| field.text()).collect();
        assert_eq!(left, ["a.test; none", "b.test; none"]);
    }

    #[test]
    fn results_are_one_field() {
        let result = |method: &str, outcome: &str, property: &str, reason: Option<&str>| {
            AuthenticationResult {
                method: method.into(),
                outcome: outcome.into(),
                property: property.into(),
                reason: reason.map(Into::into),
            }
        };
        let results = [
            result("spf", "pass", "smtp.mailfrom=a.test", None),
            result("dkim", "fail", "header.d=a.test", Some("it \"broke\"\r\n")),
            result("arc", "none", "", None),
        ];
        assert_eq!(
            field("mx.example.test", &results),
            "Authentication-Results: mx.example.test;\r\n\
             \tspf=pass\r\n\t smtp.mailfrom=a.test;\r\n\
             \tdkim=fail reason=\"it \\\"broke\\\"??\"\r\n\t header.d=a.test;\r\n\
             \tarc=none\r\n"
        );
        assert_eq!(
            field("mx.example.test", &[]),
            "Authentication-Results: mx.example.test; none\r\n"
        );
    }
}
