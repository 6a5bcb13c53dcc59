//! The questions and answers of draft-degennaro-mta-hooks: a description of the transaction, and what is to be set, added and deleted in it.
//! The stages of reception in JSON; not CBOR, not delivery.

use super::asked::{Asked, Client, Login, Paths, Queue, Said, Server, Tls, Wrong};
use crate::accept::Screened;
use crate::ingress::changes::{Changes, Written, recipient_parameters, sender_parameters};
use crate::mail::{Field, FieldChange, Header, Reply, ReversePath};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    stage: String,
    protocol: Option<Protocol>,
    client: Option<Client>,
    auth: Option<Login>,
    tls: Option<Tls>,
    server: Option<Server>,
    queue: Option<Queue>,
    envelope: Option<Paths>,
    raw_message: Option<String>,
}

#[derive(Deserialize)]
struct Protocol {
    version: String,
}

pub fn parse(request: &[u8], hostname: &str) -> Result<Asked, Wrong> {
    let request: Request = serde_json::from_slice(request)
        .map_err(|error| Wrong::request(format!("the request is not understood: {error}")))?;
    if let Some(Protocol { version }) = &request.protocol
        && !version.starts_with("1.")
    {
        return Err(Wrong::request(format!(
            "version {:?} of the protocol is not known here; 1.0 is",
            version.chars().take(20).collect::<String>()
        )));
    }
    let message = request.raw_message.map(|text| STANDARD.decode(text));
    let message = message
        .transpose()
        .map_err(|error| Wrong::request(format!("rawMessage is not base64: {error}")))?;
    let said = Said {
        stage: request.stage,
        client: request.client,
        login: request.auth,
        tls: request.tls,
        server: request.server,
        queue: request.queue,
        envelope: request.envelope,
        message,
    };
    said.understand(hostname)
}

pub fn discard() -> Value {
    set(vec![("/action", json!("discard"))])
}

pub fn refuse(reply: &Reply) -> Value {
    let lines: Vec<_> = reply.lines.iter().map(|line| line.as_str()).collect();
    let mut response = json!({"code": reply.code, "message": lines.join(" ")});
    if let (Some(code), Some(response)) = (reply.enhanced, response.as_object_mut()) {
        response.insert("enhancedCode".to_owned(), json!(code.to_string()));
    }
    set(vec![("/action", json!("reject")), ("/response", response)])
}

fn set(pairs: Vec<(&str, Value)>) -> Value {
    let operations = pairs.into_iter();
    let operations: Vec<_> = operations
        .map(|(path, value)| json!({"path": path, "value": value}))
        .collect();
    json!({"set": operations})
}

/// None: nothing is to be changed. `written`: the recipients as they were given.
pub fn change(
    changes: &Changes<'_>,
    written: &[Written],
    screened: &Screened,
    is_held: bool,
) -> io::Result<Option<Value>> {
    let mut operations = Operations::default();
    if is_held {
        operations.set("/action", json!("quarantine"));
    }
    if let Some(envelope) = changes.sender {
        let address = match &envelope.sender {
            ReversePath::Null => Value::Null,
            ReversePath::Address(address) => json!(address.to_string()),
        };
        let parameters = parameters(sender_parameters(envelope));
        operations.set(
            "/envelope/from",
            json!({"address": address, "parameters": parameters}),
        );
    }
    for recipient in &changes.added {
        let parameters = parameters(recipient_parameters(recipient));
        let address = recipient.address.to_string();
        operations.add(
            "/envelope/to",
            None,
            json!({"address": address, "parameters": parameters}),
        );
    }
    // From the last one, so that those before keep their numbers.
    for (index, recipient) in written.iter().enumerate().rev() {
        if changes.removed.contains(&recipient.text.as_str()) {
            operations.delete(format!("/envelope/to/{index}"));
        }
    }
    match changes.body {
        None if changes.fields.iter().all(is_single) => {
            for change in &changes.fields {
                operations.field(change, &screened.received);
            }
        }
        _ => {
            if let Some(message) = &screened.message {
                let message = message.render()?.bytes()?;
                operations.set("/rawMessage", json!(STANDARD.encode(message)));
            }
        }
    }
    Ok(operations.finish())
}

/// What can be said of one field without counting others, all of it in UTF-8.
fn is_single(change: &FieldChange<'_>) -> bool {
    match change {
        FieldChange::Replace { field, .. }
        | FieldChange::Top { field }
        | FieldChange::Append { field } => std::str::from_utf8(field.value()).is_ok(),
        FieldChange::Remove { .. } | FieldChange::Insert { .. } => false,
    }
}

#[derive(Default)]
struct Operations {
    set: Vec<Value>,
    add: Vec<Value>,
    delete: Vec<Value>,
}

impl Operations {
    fn set(&mut self, path: &str, value: Value) {
        self.set.push(json!({"path": path, "value": value}));
    }

    fn add(&mut self, path: &str, index: Option<usize>, value: Value) {
        let mut operation = json!({"path": path, "value": value});
        if let (Some(index), Some(operation)) = (index, operation.as_object_mut()) {
            operation.insert("index".to_owned(), json!(index));
        }
        self.add.push(operation);
    }

    fn delete(&mut self, path: String) {
        self.delete.push(json!({"path": path}));
    }

    fn field(&mut self, change: &FieldChange<'_>, received: &Header) {
        let header = |field: &Field| json!({"name": field.name(), "value": value(field)});
        match change {
            FieldChange::Replace { nth, field } => {
                let fields = received.fields().iter().enumerate();
                let mut same = fields.filter(|(_, other)| other.is(&field.name()));
                if let Some((index, _)) = same.nth(nth.saturating_sub(1) as usize) {
                    let path = format!("/message/headers/{index}/value");
                    self.set(&path, json!(value(field)));
                }
            }
            FieldChange::Top { field } => self.add("/message/headers", Some(0), header(field)),
            FieldChange::Append { field } => self.add("/message/headers", None, header(field)),
            FieldChange::Remove { .. } | FieldChange::Insert { .. } => {}
        }
    }

    fn finish(self) -> Option<Value> {
        let mut all = Map::new();
        for (name, list) in [
            ("set", self.set),
            ("add", self.add),
            ("delete", self.delete),
        ] {
            if !list.is_empty() {
                all.insert(name.to_owned(), list.into());
            }
        }
        (!all.is_empty()).then_some(Value::Object(all))
    }
}

/// On one line.
fn value(field: &Field) -> String {
    let text = String::from_utf8_lossy(field.value());
    text.replace(['\r', '\n'], "").trim().to_owned()
}

fn parameters(list: Vec<(&str, &str)>) -> Map<String, Value> {
    let pairs = list.into_iter();
    pairs
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
}
