//! The questions that Stalwart asks, and the answers that it takes: JSON as it has shipped since 0.9.
//! Facts from its documentation (stalw.art/docs/mta/filter/mtahooks) and from what its client does with an answer.

use super::asked::{Asked, Client, Login, Paths, Queue, Said, Server, Tls, Wrong};
use crate::ingress::changes::{Changes, recipient_parameters, sender_parameters};
use crate::mail::{Field, FieldChange, Reply};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;

#[derive(Deserialize)]
struct Request {
    context: Context,
    envelope: Option<Paths>,
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Context {
    stage: String,
    client: Option<Client>,
    sasl: Option<Login>,
    tls: Option<Tls>,
    server: Option<Server>,
    queue: Option<Queue>,
    protocol: Option<Protocol>,
}

#[derive(Deserialize)]
struct Protocol {
    version: Value,
}

/// The fields that the server itself is going to add (`serverHeaders`) are no part of it.
#[derive(Deserialize)]
struct Message {
    headers: Vec<(String, String)>,
    contents: String,
}

impl Message {
    /// As it stood on the wire: values come with the space before and the line end behind them.
    fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(self.contents.len() + 4096);
        for (name, value) in &self.headers {
            octets.extend_from_slice(name.as_bytes());
            octets.push(b':');
            if !value.starts_with([' ', '\t', '\r', '\n']) && !value.is_empty() {
                octets.push(b' ');
            }
            octets.extend_from_slice(value.as_bytes());
            if !value.ends_with('\n') {
                octets.extend_from_slice(b"\r\n");
            }
        }
        octets.extend_from_slice(b"\r\n");
        octets.extend_from_slice(self.contents.as_bytes());
        octets
    }
}

pub fn parse(request: &[u8], hostname: &str) -> Result<Asked, Wrong> {
    let request: Request = serde_json::from_slice(request)
        .map_err(|error| Wrong::request(format!("the request is not understood: {error}")))?;
    let context = request.context;
    if let Some(Protocol { version }) = context.protocol
        && version != 1
    {
        return Err(Wrong::request(format!(
            "version {version} of the protocol is not known here; 1 is"
        )));
    }
    let said = Said {
        stage: context.stage,
        client: context.client,
        login: context.sasl,
        tls: context.tls,
        server: context.server,
        queue: context.queue,
        envelope: request.envelope,
        message: request.message.map(|message| message.octets()),
    };
    said.understand(hostname)
}

pub fn go_on() -> Value {
    json!({"action": "accept"})
}

pub fn discard() -> Value {
    json!({"action": "discard"})
}

/// Of a reply with several lines one is made: it has room for one.
pub fn refuse(reply: &Reply) -> Value {
    let lines: Vec<_> = reply.lines.iter().map(|line| line.as_str()).collect();
    let mut response = json!({
        "status": reply.code,
        "message": lines.join(" "),
        "disconnect": reply.code == 421,
    });
    if let Some(code) = reply.enhanced {
        // Documented in the first spelling, read in the second.
        for name in ["enhancedStatus", "enhanced_status"] {
            if let Some(response) = response.as_object_mut() {
                response.insert(name.to_owned(), json!(code.to_string()));
            }
        }
    }
    json!({"action": "reject", "response": response})
}

/// What it cannot be asked for is added to `missed`.
pub fn change(changes: &Changes<'_>, is_held: bool, missed: &mut Vec<String>) -> io::Result<Value> {
    let mut list = Vec::new();
    if let Some(envelope) = changes.sender {
        list.push(json!({
            "type": "changeFrom",
            "value": envelope.sender.to_string(),
            "parameters": parameters(sender_parameters(envelope)),
        }));
    }
    for recipient in &changes.added {
        list.push(json!({
            "type": "addRecipient",
            "value": recipient.address.to_string(),
            "parameters": parameters(recipient_parameters(recipient)),
        }));
    }
    for written in &changes.removed {
        list.push(json!({"type": "deleteRecipient", "value": written}));
    }
    fields(&changes.fields, &mut list, missed);
    if let Some((message, start)) = &changes.body {
        let length = usize::try_from(message.len() - start).unwrap_or(usize::MAX);
        let body = message.read(*start, length)?;
        match std::str::from_utf8(&body) {
            // An empty one would count as none.
            Ok("") => list.push(json!({"type": "replaceContents", "value": "\r\n"})),
            Ok(body) => list.push(json!({"type": "replaceContents", "value": body})),
            Err(_) => missed.push(
                "the new body: it is not UTF-8, and this form has no way to write other octets"
                    .to_owned(),
            ),
        }
    }
    Ok(json!({
        "action": if is_held { "quarantine" } else { "accept" },
        "modifications": list,
    }))
}

/// A field can only be put on top: an index counts fields of its name. What is to stand below others is put there first.
fn fields(changes: &[FieldChange<'_>], list: &mut Vec<Value>, missed: &mut Vec<String>) {
    let mut tops = Vec::new();
    let mut others = Vec::new();
    for change in changes {
        match change {
            FieldChange::Replace { nth, field } => list.push(json!({
                "type": "changeHeader",
                "index": nth,
                "name": field.name(),
                // An empty one would remove it.
                "value": Some(value(field)).filter(|value| !value.is_empty()).unwrap_or(" ".into()),
            })),
            FieldChange::Remove { nth, field } => list.push(json!({
                "type": "deleteHeader",
                "index": nth,
                "name": field.name(),
            })),
            FieldChange::Top { field } => tops.push(insert(field)),
            FieldChange::Insert { field, .. } | FieldChange::Append { field } => {
                others.push(insert(field));
            }
        }
    }
    if !others.is_empty() {
        missed.push(
            "the place of a field below others: it stands on top, the only place that can be named"
                .to_owned(),
        );
    }
    list.extend(others.into_iter().rev());
    list.extend(tops);
}

fn insert(field: &Field) -> Value {
    json!({"type": "insertHeader", "index": 0, "name": field.name(), "value": value(field)})
}

/// It puts the space after the colon there itself.
fn value(field: &Field) -> String {
    let text = String::from_utf8_lossy(field.value());
    text.strip_prefix(' ').unwrap_or(&text).to_owned()
}

fn parameters(list: Vec<(&str, &str)>) -> Value {
    let pairs = list.into_iter();
    pairs
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
