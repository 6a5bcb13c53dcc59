//! BODY and BODYSTRUCTURE (RFC 3501 §7.4.2, the grammar in §9 body).
//! Finds no structure: that is `mail::mime`'s.

use super::encode::{nstring, string};
use super::envelope::{envelope, list_or_string};
use crate::mail::mime::{Disposition, Entity, Inside, Parameter};
use crate::mail::{Content, Header};
use std::io::{self, Write};

/// With `extended`, BODYSTRUCTURE; without, BODY.
pub fn structure(
    out: &mut Vec<u8>,
    content: &Content,
    entity: &Entity,
    extended: bool,
) -> io::Result<()> {
    out.push(b'(');
    match &entity.inside {
        Inside::Parts(parts) => {
            for part in parts {
                structure(out, content, part, extended)?;
            }
            out.push(b' ');
            string(out, entity.subtype.as_bytes());
            if extended {
                out.push(b' ');
                parameters(out, &entity.parameters);
                extension(out, entity);
            }
        }
        Inside::Leaf | Inside::Message(_) => {
            single(out, content, entity, extended)?;
            if extended {
                out.push(b' ');
                nstring(out, entity.md5.as_ref().map(String::as_bytes));
                extension(out, entity);
            }
        }
    }
    out.push(b')');
    Ok(())
}

fn single(out: &mut Vec<u8>, content: &Content, entity: &Entity, extended: bool) -> io::Result<()> {
    // With this type a client expects what is inside, which is not known for an encoded or very deep message.
    let opaque = entity.message().is_none()
        && entity.media_type == "message"
        && matches!(entity.subtype.as_str(), "rfc822" | "global");
    let (media_type, subtype) = match opaque {
        true => ("application", "octet-stream"),
        false => (entity.media_type.as_str(), entity.subtype.as_str()),
    };
    string(out, media_type.as_bytes());
    out.push(b' ');
    // The form with an envelope is for MESSAGE/RFC822 by the grammar, whatever the message was called.
    match entity.message() {
        Some(_) => string(out, b"rfc822"),
        None => string(out, subtype.as_bytes()),
    }
    out.push(b' ');
    if media_type == "text" && entity.charset().is_none() {
        let mut with_charset = entity.parameters.clone();
        with_charset.push(Parameter {
            name: "charset".to_owned(),
            value: "us-ascii".to_owned(),
        });
        parameters(out, &with_charset);
    } else {
        parameters(out, &entity.parameters);
    }
    for value in [&entity.id, &entity.description] {
        out.push(b' ');
        nstring(out, value.as_ref().map(String::as_bytes));
    }
    out.push(b' ');
    string(out, entity.encoding.as_bytes());
    write!(
        out,
        " {}",
        entity.body.end.saturating_sub(entity.body.start)
    )?;
    if let Some(message) = entity.message() {
        let length = message.header.end.saturating_sub(message.header.start);
        let length = usize::try_from(length)
            .unwrap_or(Header::MAX)
            .min(Header::MAX);
        let header = Header::parse(&content.read(message.header.start, length)?);
        out.push(b' ');
        envelope(out, &header);
        out.push(b' ');
        structure(out, content, message, extended)?;
        write!(out, " {}", entity.lines)?;
    } else if media_type == "text" {
        write!(out, " {}", entity.lines)?;
    }
    Ok(())
}

/// What both forms end with.
fn extension(out: &mut Vec<u8>, entity: &Entity) {
    out.push(b' ');
    match &entity.disposition {
        Some(Disposition {
            kind,
            parameters: given,
        }) => {
            out.push(b'(');
            string(out, kind.as_bytes());
            out.push(b' ');
            parameters(out, given);
            out.push(b')');
        }
        None => out.extend_from_slice(b"NIL"),
    }
    out.push(b' ');
    list_or_string(out, &entity.language);
    out.push(b' ');
    nstring(out, entity.location.as_ref().map(String::as_bytes));
}

fn parameters(out: &mut Vec<u8>, parameters: &[Parameter]) {
    if parameters.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for (index, parameter) in parameters.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        string(out, parameter.name.as_bytes());
        out.push(b' ');
        string(out, parameter.value.as_bytes());
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::mime::scan;
    use imap_codec::ResponseCodec;
    use imap_codec::decode::Decoder;

    fn shown(message: &'static str, extended: bool) -> String {
        let content = Content::from_bytes(message);
        let mut out = Vec::new();
        structure(&mut out, &content, &scan(&content).unwrap(), extended).unwrap();
        let name = if extended { "BODYSTRUCTURE" } else { "BODY" };
        let mut response = format!("* 1 FETCH ({name} ").into_bytes();
        response.extend_from_slice(&out);
        response.extend_from_slice(b")\r\n");
        assert!(
            ResponseCodec::default().decode(&response).is_ok(),
            "{}",
            String::from_utf8_lossy(&response)
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_text() {
        assert_eq!(
            shown("Subject: x\r\n\r\none\r\ntwo\r\n", false),
            "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 10 2)"
        );
        assert_eq!(
            shown(
                "Content-Type: text/html; charset=\"utf-8\"\r\nContent-Transfer-Encoding: Quoted-Printable\r\nContent-Language: de\r\n\r\n<p>\r\n",
                true
            ),
            "(\"text\" \"html\" (\"charset\" \"utf-8\") NIL NIL \"quoted-printable\" 5 1 NIL NIL \"de\" NIL)"
        );
    }

    #[test]
    fn a_multipart_with_an_attachment_and_a_message() {
        let message = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b\r\nContent-Type: application/pdf; name=x.pdf\r\nContent-Disposition: attachment; filename=x.pdf\r\nContent-ID: <1@x>\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nFrom: a@b\r\n\r\nbody\r\n--b--\r\n";
        assert_eq!(
            shown(message, true),
            "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 2 0 NIL NIL NIL NIL)\
             (\"application\" \"pdf\" (\"name\" \"x.pdf\") \"<1@x>\" NIL \"base64\" 4 NIL (\"attachment\" (\"filename\" \"x.pdf\")) NIL NIL)\
             (\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 33 (NIL \"inner\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL) \
             (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 4 0 NIL NIL NIL NIL) 3 NIL NIL NIL NIL) \
             \"mixed\" (\"boundary\" \"b\") NIL NIL NIL)"
        );
    }

    #[test]
    fn an_encoded_message_is_opaque() {
        assert!(
            shown("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA0KDQo=\r\n", false)
                .starts_with("(\"application\" \"octet-stream\"")
        );
    }
}
