//! The form of draft-degennaro-mta-hooks: discovery, registration, questions, operations.

use super::*;
use crate::support::http::Client;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

async fn exchange(server: &Server, method: &str, path: &str, body: &Value) -> Answer {
    let mut client = Client::connect(server.address(Protocol::Hooks)).await;
    let head = format!("{method} {path} HTTP/1.1\r\nAuthorization: Bearer {SECRET}\r\n");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    client.request(&head, body.as_bytes()).await
}

/// As mta-hooks-milter registers.
fn registration() -> Value {
    json!({
        "name": "mx.client.test", "version": "0.1.0", "timeoutMs": 20000, "serialization": "json",
        "inbound": {
            "stages": ["connect", "rcpt", "data"],
            "properties": ["/stage", "/action", "/timestamp", "/protocol", "/rawMessage", "/envelope", "/queue", "/client", "/nonsense"],
        },
        "outbound": null,
    })
}

fn question(stage: &str, id: &str, message: &str) -> Value {
    json!({
        "stage": stage, "action": "accept", "timestamp": "2026-09-05T12:00:00Z", "protocol": {"version": "1.0"},
        "rawMessage": STANDARD.encode(message),
        "envelope": {
            "from": {"address": null, "parameters": {"SIZE": "100"}},
            "to": [{"address": "alice@example.test", "parameters": {}}, {"address": "bob@example.test", "parameters": {}}],
        },
        "client": {"ip": "192.0.2.42", "port": 34567, "ehlo": "mx.client.test", "ptr": "mx.client.test", "fcrdns": "pass"},
        "queue": {"id": id},
    })
}

#[tokio::test]
async fn a_mail_server_finds_out_registers_asks_and_leaves() {
    let server = scripted(
        r#"
        rcpt = ["for bob@example.test reject 550 5 not bob"]
        message = [
            "session", "when add add X-End 1", "when add insert X-Top", "when other change Subject else",
            "when body replace new\\n", "when refuse reject 554 5 no", "when lost discard", "when aside quarantine odd",
            "when envelope sender b@other.test", "when envelope remove-recipient alice@example.test",
            "when envelope add-recipient carol@example.test",
        ]
        "#,
    )
    .await;
    let mut anybody = Client::connect(server.address(Protocol::Hooks)).await;
    let offered = anybody
        .request("GET /.well-known/mta-hooks HTTP/1.1\r\n", b"")
        .await;
    let register = offered.json()["endpoints"]["registration"]
        .as_str()
        .unwrap()
        .to_owned();
    let registered = exchange(&server, "POST", &register, &registration()).await;
    assert_eq!(registered.status, 201);
    let registered = registered.json();
    let negotiated = &registered["negotiated"]["inbound"];
    assert_eq!(negotiated["stages"], json!(["connect", "rcpt", "data"]));
    assert_eq!(negotiated["properties"].as_array().unwrap().len(), 8);
    let hook = registered["hookEndpoint"].as_str().unwrap();
    let ask = async |stage: &str, subject: &str| {
        let message = MESSAGE.replace("hello", subject);
        let mut asked = question(stage, subject, &message);
        if stage == "data" {
            asked["envelope"]["to"].as_array_mut().unwrap().truncate(1);
        }
        let answer = exchange(&server, "POST", hook, &asked).await;
        match answer.status {
            204 => Value::Null,
            200 => answer.json(),
            other => panic!("{other}: {}", String::from_utf8_lossy(&answer.body)),
        }
    };
    assert_eq!(ask("connect", "").await, Value::Null);
    let refused = ask("rcpt", "").await;
    assert_eq!(
        refused["set"][0],
        json!({"path": "/action", "value": "reject"})
    );
    assert_eq!(
        refused["set"][1]["value"],
        json!({"code": 550, "enhancedCode": "5.7.1", "message": "not bob"})
    );
    assert_eq!(ask("data", "nothing").await, Value::Null);
    let own = journal(&server, "nothing").await;
    assert!(logged(&own)[0].starts_with("mx.example.test 192.0.2.42 Some(\"mx.client.test\")"));
    let header = |name: &str, value: &str| json!({"name": name, "value": value});
    assert_eq!(
        ask("data", "add").await,
        json!({"add": [
            {"path": "/message/headers", "index": 0, "value": header("X-Top", "inserted")},
            {"path": "/message/headers", "value": header("X-End", "1")},
        ]})
    );
    assert_eq!(
        ask("data", "other").await,
        json!({"set": [{"path": "/message/headers/2/value", "value": "else"}]})
    );
    let new = ask("data", "body").await;
    let octets = new["set"][0]["value"].as_str().unwrap();
    let octets = STANDARD.decode(octets).unwrap();
    assert_eq!(
        String::from_utf8(octets).unwrap().replace("\r\n", "\n"),
        MESSAGE
            .replace("hello", "body")
            .replace("Hello.", "new")
            .replace("\r\n", "\n")
    );
    assert_eq!(ask("data", "refuse").await["set"][1]["value"]["code"], 554);
    assert_eq!(ask("data", "lost").await["set"][0]["value"], "discard");
    assert_eq!(ask("data", "aside").await["set"][0]["value"], "quarantine");
    assert_eq!(
        ask("data", "envelope").await,
        json!({
            "set": [{"path": "/envelope/from", "value": {"address": "b@other.test", "parameters": {}}}],
            "add": [{"path": "/envelope/to", "value": {"address": "carol@example.test", "parameters": {}}}],
            "delete": [{"path": "/envelope/to/0"}],
        })
    );

    // One that cannot be read has its place all the same.
    let mut asked = question("data", "Q9", &MESSAGE.replace("hello", "envelope"));
    let bad = json!({"address": "dave@x y.test", "parameters": {}});
    asked["envelope"]["to"] = json!([bad, {"address": "alice@example.test", "parameters": {}}]);
    let said = exchange(&server, "POST", hook, &asked).await.json();
    assert_eq!(said["delete"], json!([{"path": "/envelope/to/1"}]));

    let status = registered["endpoints"]["status"].as_str().unwrap();
    assert_eq!(
        exchange(&server, "GET", status, &Value::Null).await.json(),
        registered
    );
    let leave = registered["endpoints"]["deregistration"].as_str().unwrap();
    assert_eq!(
        exchange(&server, "DELETE", leave, &Value::Null)
            .await
            .status,
        200
    );
    // It is told to register again.
    let gone = exchange(&server, "POST", hook, &question("connect", "", "")).await;
    assert_eq!(
        (gone.status, &gone.json()["error"]["code"]),
        (404, &json!("REGISTRATION_NOT_FOUND"))
    );
}

#[tokio::test]
async fn what_is_not_offered_cannot_be_registered() {
    let server = scripted("message = []").await;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut asked = registration();
        change(&mut asked);
        asked
    };
    for (asked, status) in [
        (
            changed(&|asked| asked["serialization"] = json!("cbor")),
            422,
        ),
        (
            changed(&|asked| asked["outbound"] = json!({"stages": ["delivery"]})),
            422,
        ),
        (changed(&|asked| asked["inbound"] = Value::Null), 422),
        (
            changed(&|asked| asked["inbound"]["stages"] = json!(["route"])),
            422,
        ),
        (
            changed(&|asked| asked["inbound"]["properties"] = json!(["/stage"])),
            422,
        ),
        (changed(&|asked| asked["name"] = Value::Null), 400),
        (json!([]), 400),
    ] {
        let answer = exchange(&server, "POST", "/v1/hooks/register", &asked).await;
        assert_eq!(answer.status, status, "{asked}");
        assert!(
            !answer.json()["error"]["message"]
                .as_str()
                .unwrap()
                .is_empty()
        );
    }
    let mut statuses = Vec::new();
    for _ in 0..300 {
        let answer = exchange(&server, "POST", "/v1/hooks/register", &registration()).await;
        statuses.push(answer.status);
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 201).count(),
        256
    );
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 44);
}
