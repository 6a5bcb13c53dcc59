//! A media type that somebody wants to give a part (RFC 2045 §5.1), checked strictly: it goes into a header field.
//! What stands in received mail is read by `structured`, leniently.

use super::structured::Structured;

const MAX: usize = 255;

/// Of a part that is not made of parts or of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    /// In lower case, such as "text/plain".
    essence: String,
    parameters: Vec<(String, String)>,
}

impl MediaType {
    pub fn plain_text() -> Self {
        Self {
            essence: "text/plain".to_owned(),
            parameters: Vec::new(),
        }
    }

    /// The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX {
            return Err(format!(
                "it is {} octets long, the limit is {MAX}",
                text.len()
            ));
        }
        if text.bytes().any(|octet| !matches!(octet, b' '..=b'~')) {
            return Err("it must be printable ASCII on one line".to_owned());
        }
        let read = Structured::read(text.as_bytes());
        let essence = read.main.to_ascii_lowercase();
        let is_whole = essence
            .split_once('/')
            .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
        if !is_whole {
            return Err(
                "it must be a type and a subtype such as text/plain (RFC 2045 §5.1)".to_owned(),
            );
        }
        if essence.starts_with("multipart/") || essence.starts_with("message/") {
            return Err(format!(
                "{essence} has a structure of its own, which a part that is encoded cannot have: replace the body with all its parts instead"
            ));
        }
        let mut parameters = Vec::new();
        for parameter in read.parameters {
            if !is_token(&parameter.name) {
                return Err(format!("{:?} is no name of a parameter", parameter.name));
            }
            // The host writes text in UTF-8 whatever was asked for.
            if !(essence.starts_with("text/") && parameter.name.eq_ignore_ascii_case("charset")) {
                let value = String::from_utf8_lossy(&parameter.value).into_owned();
                parameters.push((parameter.name, value));
            }
        }
        Ok(Self {
            essence,
            parameters,
        })
    }

    pub fn is_text(&self) -> bool {
        self.essence.starts_with("text/")
    }

    /// The value of a Content-Type; text is in UTF-8.
    pub fn content_type(&self) -> String {
        let mut value = self.essence.clone();
        if self.is_text() {
            value.push_str("; charset=utf-8");
        }
        for (name, text) in &self.parameters {
            if is_token(text) {
                value.push_str(&format!("; {name}={text}"));
            } else {
                let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
                value.push_str(&format!("; {name}=\"{quoted}\""));
            }
        }
        value
    }
}

/// RFC 2045 §5.1
fn is_token(text: &str) -> bool {
    let fine = |octet: u8| octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&octet);
    !text.is_empty() && text.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_becomes_the_value_of_a_field() {
        for (given, field) in [
            ("Text/HTML", "text/html; charset=utf-8"),
            (
                "text/plain; charset=latin1; format=flowed",
                "text/plain; charset=utf-8; format=flowed",
            ),
            (
                "image/png;name=\"a b\\\".png\"",
                "image/png; name=\"a b\\\".png\"",
            ),
            ("application/json", "application/json"),
        ] {
            assert_eq!(MediaType::parse(given).unwrap().content_type(), field);
        }
    }

    #[test]
    fn what_cannot_stand_there_is_refused() {
        let long = format!("text/{}", "x".repeat(300));
        for bad in [
            "",
            "text",
            "text/",
            "/plain",
            "te xt/pl@in",
            "text/plain\r\nX: 1",
            "text/plän",
            "multipart/mixed",
            "Message/RFC822",
            "text/plain; a/b=c",
            &long,
        ] {
            assert!(MediaType::parse(bad).is_err(), "{bad:?}");
        }
    }
}
