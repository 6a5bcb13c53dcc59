//! What a client of rspamd says of a message in the header of its request, in our words.
//! Knows nothing of the message itself.

use crate::ingress::facts::{self, Named, bad_address};
use crate::ingress::web::{Refusal, Whole};
use crate::mail::{Address, EnhancedCode, Reply, Session, Tls};
use hyper::{HeaderMap, StatusCode};
use std::net::IpAddr;

/// An inner error is of the sender, who cannot be read.
pub fn understand(headers: &HeaderMap, hostname: &str) -> Result<Result<Whole, Reply>, Refusal> {
    for name in ["compression", "content-encoding"] {
        if text(headers, name).is_some_and(|how| !how.eq_ignore_ascii_case("identity")) {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "INVALID_REQUEST",
                "compressed messages are not taken: switch compression off (rspamc: no -z)",
            ));
        }
    }
    for name in ["file", "path", "shm"] {
        if headers.contains_key(name) {
            return Err(Refusal::malformed(format!(
                "the header field {name} names a file here: send the message instead"
            )));
        }
    }
    let session = session(headers, hostname)?;
    let server = &session.server_name;
    let from = text(headers, "from").unwrap_or_default();
    let envelope = match facts::envelope(bare(&from), server, |_| None) {
        Ok(envelope) => envelope,
        Err(error) => return Ok(Err(bad_address(&from, EnhancedCode(5, 1, 7), &error))),
    };
    let named = if headers.contains_key("rcpt") {
        "rcpt"
    } else {
        "deliver-to"
    };
    let fields = headers.get_all(named).iter();
    let fields: Vec<_> = fields
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    let recipients = fields.iter().flat_map(|field| list(field));
    let recipients = recipients
        .map(|recipient| Named::new(bare(recipient), server, |_| None))
        .collect();
    let queue_id = text(headers, "queue-id").filter(|id| facts::is_queue_id(id));
    let whole = Whole {
        session,
        envelope,
        recipients,
        queue_id,
    };
    Ok(Ok(whole))
}

fn session(headers: &HeaderMap, hostname: &str) -> Result<Session, Refusal> {
    let address = text(headers, "ip")
        .map(|text| match text.parse::<IpAddr>() {
            Ok(address) => Ok(address.to_canonical()),
            Err(_) => Err(Refusal::malformed(format!(
                "IP is {}, which is not an IP address",
                shown(&text)
            ))),
        })
        .transpose()?;
    let tls = text(headers, "tls-version").map(|version| Tls {
        version,
        cipher: text(headers, "tls-cipher").unwrap_or_default(),
        client: None,
    });
    let server = text(headers, "mta-name");
    let server = server.filter(|name| Address::parse(&format!("postmaster@{name}")).is_ok());
    let authenticated = text(headers, "user");
    Ok(Session {
        server_name: server.unwrap_or_else(|| hostname.to_owned()),
        client_address: address,
        client_name: text(headers, "hostname").and_then(|name| facts::name(&name)),
        helo: text(headers, "helo").unwrap_or_default(),
        protocol: facts::protocol(tls.is_some(), authenticated.is_some()),
        tls,
        authenticated,
        ..Session::default()
    })
}

/// The first field of this name; none if it is empty.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(name)?.as_bytes());
    Some(value.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Several may stand in one field.
fn list(field: &str) -> Vec<&str> {
    // A quoted local part may have a comma: then it stands alone.
    let parts: Vec<_> = if field.contains('"') {
        vec![field]
    } else {
        field.split(',').collect()
    };
    let parts = parts.into_iter().map(str::trim);
    parts.filter(|part| !part.is_empty()).collect()
}

fn bare(address: &str) -> &str {
    let address = address.trim();
    let inner = address.strip_prefix('<');
    inner
        .and_then(|inner| inner.strip_suffix('>'))
        .unwrap_or(address)
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(100).collect::<String>())
}
