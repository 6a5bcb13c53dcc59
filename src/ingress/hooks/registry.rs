//! Discovery and registration as draft-degennaro-mta-hooks has them: what is offered here, and who has taken it up.
//! A registration holds nothing but its id: questions are answered by what they say.

use crate::ingress::web::Refusal;
use hyper::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub const DISCOVERY: &str = "/.well-known/mta-hooks";
pub const REGISTER: &str = "/v1/hooks/register";
pub const INVOKE: &str = "/v1/hooks/invoke/";

/// What is made use of.
const PROPERTIES: [&str; 11] = [
    "/stage",
    "/action",
    "/timestamp",
    "/protocol",
    "/rawMessage",
    "/envelope",
    "/queue",
    "/client",
    "/tls",
    "/auth",
    "/server",
];
/// The draft has no stage for AUTH.
const STAGES: [&str; 5] = ["connect", "ehlo", "mail", "rcpt", "data"];
/// A mail server registers again when it is over, or when it hears that it is not known.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
const MOST: usize = 256;

#[derive(Default)]
pub struct Registry(Mutex<HashMap<String, Registration>>);

struct Registration {
    until: Timestamp,
    answer: Value,
}

#[derive(Deserialize)]
struct Request {
    name: String,
    serialization: Option<Value>,
    inbound: Option<Inbound>,
    outbound: Option<Value>,
}

#[derive(Deserialize)]
struct Inbound {
    stages: Vec<String>,
    properties: Option<Vec<String>>,
}

pub fn discovery(size: u64) -> Value {
    json!({
        "version": "1.0",
        "endpoints": {
            "registration": REGISTER,
            "deregistration": format!("{REGISTER}/{{registration_id}}"),
        },
        "serialization": ["json"],
        "capabilities": {"inbound": {
            "stages": STAGES,
            "fetchProperties": PROPERTIES,
            "actions": ["accept", "reject", "discard", "quarantine"],
            "updateProperties": [
                "/action", "/response", "/message/headers", "/rawMessage", "/envelope/from", "/envelope/to",
            ],
        }},
        "limits": {"maxMessageSize": size, "maxRegistrations": MOST},
    })
}

impl Registry {
    pub fn register(&self, request: &[u8], now: Timestamp) -> Result<Value, Refusal> {
        let request: Request = serde_json::from_slice(request).map_err(|error| {
            Refusal::malformed(format!("the registration is not understood: {error}"))
        })?;
        let unprocessable =
            |code, message: &str| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, code, message);
        if request.serialization.is_some_and(|asked| !has_json(&asked)) {
            let what = "only JSON is spoken here";
            return Err(unprocessable("UNSUPPORTED_SERIALIZATION", what));
        }
        if request.outbound.is_some_and(|asked| !asked.is_null()) {
            let what = "only reception is answered here, not delivery: leave out outbound";
            return Err(unprocessable("UNSUPPORTED_STAGE", what));
        }
        let inbound = request.inbound.ok_or_else(|| {
            unprocessable(
                "UNSUPPORTED_STAGE",
                "inbound is missing: there is nothing to ask for",
            )
        })?;
        if let Some(other) = inbound
            .stages
            .iter()
            .find(|stage| !STAGES.contains(&stage.as_str()))
        {
            let shown: String = other.chars().take(50).collect();
            let what = format!("no stage {shown:?} is answered here: {}", STAGES.join(", "));
            return Err(unprocessable("UNSUPPORTED_STAGE", &what));
        }
        let asked = inbound.properties;
        let properties: Vec<_> = PROPERTIES
            .into_iter()
            .filter(|property| {
                let is = |asked: &Vec<String>| asked.iter().any(|asked| asked == property);
                asked.as_ref().is_none_or(is)
            })
            .collect();
        for (stage, property) in [("data", "/rawMessage"), ("mail", "/envelope")] {
            let is_asked = inbound.stages.iter().any(|asked| asked == stage);
            if is_asked && !properties.contains(&property) {
                let what = format!("the stage {stage} cannot be answered without {property}");
                return Err(unprocessable("MISSING_PROPERTY", &what));
            }
        }
        let id = new_id()?;
        let until = now.checked_add(LIFETIME).unwrap_or(now);
        let answer = json!({
            "registrationId": id,
            "status": "active",
            "createdAt": now.to_string(),
            "expiresAt": until.to_string(),
            "hookEndpoint": format!("{INVOKE}{id}"),
            "negotiated": {
                "serialization": "json",
                "inbound": {"stages": inbound.stages, "properties": properties},
                "outbound": null,
            },
            "endpoints": {
                "status": format!("{REGISTER}/{id}/status"),
                "deregistration": format!("{REGISTER}/{id}"),
            },
        });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, registration| registration.until > now);
        if all.len() >= MOST {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                "REGISTRATION_LIMIT_REACHED",
                format!("there are {MOST} registrations already"),
            ));
        }
        tracing::info!(name = %request.name, id, "a mail server has registered");
        let registration = Registration {
            until,
            answer: answer.clone(),
        };
        all.insert(id, registration);
        Ok(answer)
    }

    /// What was answered to the registration.
    pub fn find(&self, id: &str, now: Timestamp) -> Result<Value, Refusal> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.get(id).filter(|registration| registration.until > now);
        found
            .map(|registration| registration.answer.clone())
            .ok_or_else(unknown)
    }

    pub fn remove(&self, id: &str, now: Timestamp) -> Result<Value, Refusal> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(id).ok_or_else(unknown)?;
        Ok(json!({
            "registrationId": id,
            "status": "deregistered",
            "deregisteredAt": now.to_string(),
        }))
    }
}

fn unknown() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "REGISTRATION_NOT_FOUND",
        "there is no such registration; register again",
    )
}

fn has_json(asked: &Value) -> bool {
    match asked {
        Value::String(one) => one == "json",
        Value::Array(several) => several.iter().any(|one| one == "json"),
        other => other.is_null(),
    }
}

fn new_id() -> Result<String, Refusal> {
    let mut octets = [0; 16];
    getrandom::fill(&mut octets).map_err(|error| {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "SCANNER_UNAVAILABLE",
            format!("no random numbers: {error}"),
        )
    })?;
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}
