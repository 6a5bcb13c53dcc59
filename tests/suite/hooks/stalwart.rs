//! Stalwart's side: the questions that it asks, and what it does with the answers (stalw.art/docs/mta/filter/mtahooks and the pages about
//! request and response).

use serde_json::{Value, json};
use wasmilter::mail::Header;

/// A question of this stage. From MAIL on with an envelope, at `data` with the message too.
pub fn question(stage: &str, id: &str, recipients: &[&str], message: &str) -> Value {
    let mut question = json!({
        "context": {
            "stage": stage,
            "client": {
                "ip": "192.0.2.7", "port": 34567, "ptr": "mail.client.test",
                "helo": "client.test", "activeConnections": 1,
            },
            "server": {"name": "Stalwart SMTP", "port": 25, "ip": "192.0.2.1"},
            "protocol": {"version": 1},
        },
    });
    if ["mail", "rcpt", "data"].contains(&stage) {
        let to: Vec<_> = recipients.iter().map(|to| json!({"address": to})).collect();
        question["envelope"] = json!({"from": {"address": "a@client.test"}, "to": to});
    }
    if stage == "data" {
        question["context"]["queue"] = json!({"id": id});
        let header = Header::parse(&message.to_owned().into());
        let fields = header.fields().iter();
        let headers: Vec<_> = fields
            .map(|field| {
                let octets = std::str::from_utf8(field.octets()).unwrap();
                let (name, value) = octets.split_once(':').unwrap();
                json!([name, value])
            })
            .collect();
        let body = &message[header.received_len() as usize + 2..];
        question["message"] = json!({
            "headers": headers, "serverHeaders": [], "contents": body, "size": message.len(),
        });
    }
    question
}

/// What the message becomes.
pub fn changed(message: &str, answer: &Value) -> String {
    let header = Header::parse(&message.to_owned().into());
    let mut body = message[header.received_len() as usize + 2..].to_owned();
    let mut fields: Vec<(String, String)> = header
        .fields()
        .iter()
        .map(|field| {
            let value = String::from_utf8(field.value().to_vec()).unwrap();
            (field.name().into_owned(), value)
        })
        .collect();
    let none = Vec::new();
    for change in answer["modifications"].as_array().unwrap_or(&none) {
        let name = change["name"].as_str().unwrap_or_default();
        let value = change["value"].as_str().unwrap_or_default().to_owned();
        let nth = |fields: &[(String, String)]| {
            let index = change["index"].as_u64().unwrap() as usize;
            let mut same = fields
                .iter()
                .enumerate()
                .filter(|(_, (other, _))| other.eq_ignore_ascii_case(name));
            same.nth(index - 1).unwrap().0
        };
        match change["type"].as_str().unwrap() {
            "addHeader" => fields.insert(0, (name.to_owned(), value)),
            "insertHeader" => {
                assert_eq!(change["index"], 0);
                fields.insert(0, (name.to_owned(), value));
            }
            "changeHeader" => {
                assert!(!value.is_empty(), "that would remove it");
                let at = nth(&fields);
                fields[at].1 = value;
            }
            "deleteHeader" => drop(fields.remove(nth(&fields))),
            "replaceContents" => {
                assert!(!value.is_empty(), "that would not replace it");
                body = value;
            }
            "changeFrom" | "addRecipient" | "deleteRecipient" => {}
            other => panic!("no such modification: {other}"),
        }
    }
    let mut text = String::new();
    for (name, value) in fields {
        let space = if value.starts_with([' ', '\t']) {
            ""
        } else {
            " "
        };
        text.push_str(&format!("{name}:{space}{value}\r\n"));
    }
    text + "\r\n" + &body
}
