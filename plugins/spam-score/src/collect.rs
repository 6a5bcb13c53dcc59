//! Asks the host for what the rules want to know of the message in hand, in few calls.
//! Applies no rule.

use crate::config::Limits;
use crate::message::{Field, Message, Part};
use wasmilter_sdk::{body, envelope, header, results, session};

pub fn message(limits: &Limits) -> Message {
    let fields: Vec<Field> = header::fields().into_iter().map(field).collect();
    let authentication = results::authentication()
        .into_iter()
        .map(|result| (result.method, result.outcome))
        .collect();
    let recipients = envelope::recipients()
        .into_iter()
        .map(|recipient| recipient.address)
        .collect();
    Message {
        subject: decoded(&fields, "Subject"),
        from: decoded(&fields, "From"),
        reply_to: decoded(&fields, "Reply-To"),
        fields,
        parts: parts(limits),
        authentication,
        authenticated: session::authenticated().is_some(),
        sender: envelope::sender(),
        recipients,
    }
}

fn field(field: header::Field) -> Field {
    let (value, broken) = match String::from_utf8(field.value) {
        Ok(value) => (value, false),
        Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
    };
    Field {
        name: field.name,
        value,
        broken,
    }
}

/// The host is only asked where there is something to unfold or decode.
fn decoded(fields: &[Field], name: &str) -> Option<String> {
    let field = fields
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case(name))?;
    if field.value.contains("=?") || field.value.trim().contains('\n') {
        return header::first(name);
    }
    Some(field.value.trim().to_owned())
}

fn parts(limits: &Limits) -> Vec<Part> {
    let mut left = limits.text;
    let mut parts = Vec::new();
    for part in body::parts().into_iter().take(limits.parts) {
        let attachment = part.is_attachment();
        let readable = matches!(part.media_type.as_str(), "text/plain" | "text/html");
        let text = if readable && !attachment {
            // What can't be decoded is taken as absent: a refusal is in the journal.
            part.text(left).ok()
        } else {
            None
        };
        left = left.saturating_sub(text.as_deref().map_or(0, str::len));
        let start = if text.is_none() && !part.media_type.starts_with("message/") {
            part.octets(limits.attachment).unwrap_or_default()
        } else {
            Vec::new()
        };
        parts.push(Part {
            path: part.path,
            media_type: part.media_type,
            name: part.name,
            attachment,
            size: part.size,
            text,
            start,
        });
    }
    parts
}
