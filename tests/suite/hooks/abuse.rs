//! What nobody should send: it gets an error that says what is wrong, and everybody else is served.

use super::stalwart::question;
use super::*;
use crate::support::http::Client;
use serde_json::json;

const ALICE: &[&str] = &["alice@example.test"];

async fn works(server: &Server) {
    let said = answer(server, &question("data", "Q1", ALICE, MESSAGE)).await;
    assert_eq!(said["action"], "accept");
}

#[tokio::test]
async fn what_is_not_a_question_is_told_so() {
    let server = scripted(r#"message = ["log seen"]"#).await;
    let without = |path: &[&str]| {
        let mut asked = question("data", "Q", ALICE, MESSAGE);
        let mut at = &mut asked;
        for name in &path[..path.len() - 1] {
            at = &mut at[name];
        }
        at.as_object_mut().unwrap().remove(path[path.len() - 1]);
        asked.to_string()
    };
    let with = |path: &[&str], value: Value| {
        let mut asked = question("data", "Q", ALICE, MESSAGE);
        let mut at = &mut asked;
        for name in path {
            at = &mut at[name];
        }
        *at = value;
        asked.to_string()
    };
    for (wrong, why) in [
        (String::new(), "EOF"),
        ("{".to_owned(), "EOF"),
        ("[]".to_owned(), "invalid length"),
        ("null".to_owned(), "invalid type"),
        ("\u{1}".to_owned(), "expected value"),
        ("[".repeat(100_000), ""),
        (without(&["context"]), "missing field `context`"),
        (without(&["context", "stage"]), "missing field `stage`"),
        (without(&["envelope"]), "no envelope"),
        (without(&["envelope", "from"]), "missing field `from`"),
        (without(&["message"]), "no message"),
        (
            without(&["message", "contents"]),
            "missing field `contents`",
        ),
        (
            with(&["context", "protocol", "version"], json!(2)),
            "version 2",
        ),
        (
            with(&["context", "stage"], json!("delivery")),
            "not a stage",
        ),
        (with(&["context", "stage"], json!(7)), "invalid type"),
        (
            with(&["context", "client", "ip"], json!("here")),
            "not an IP address",
        ),
        (with(&["envelope", "to"], json!([])), "no recipient"),
        (with(&["envelope", "to"], json!("alice")), "invalid type"),
        (
            with(&["message", "headers"], json!({"a": "b"})),
            "invalid type",
        ),
    ] {
        let address = server.address(Protocol::Hooks);
        let answer = post(address, "/mta-hooks", "", wrong.as_bytes()).await;
        let said = answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(answer.status, 400, "{said}");
        assert!(said.contains(why), "{said:?} does not say {why:?}");
    }
    works(&server).await;
}

#[tokio::test]
async fn who_has_no_right_is_told_nothing_else() {
    let server = scripted(r#"message = ["log seen"]"#).await;
    let address = server.address(Protocol::Hooks);
    let body = question("data", "Q2", ALICE, MESSAGE).to_string();
    for field in [
        "",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Basic d3Jvbmc6d3Jvbmc=\r\n",
        "Authorization: Bearer 0123456789abcdef012\r\n",
        "Authorization: \r\n",
    ] {
        for path in ["/mta-hooks", "/v1/hooks/register", "/nothing"] {
            let mut client = Client::connect(address).await;
            let head = format!("POST {path} HTTP/1.1\r\n{field}");
            let answer = client.request(&head, body.as_bytes()).await;
            assert_eq!(answer.status, 401, "{field}");
            assert!(
                answer
                    .head
                    .to_lowercase()
                    .contains("www-authenticate: basic")
            );
        }
    }
    // As Stalwart does it with a user's name and password.
    let mut client = Client::connect(address).await;
    let pair = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("stalwart:{SECRET}"),
    );
    let head = format!("POST /mta-hooks HTTP/1.1\r\nAuthorization: Basic {pair}\r\n");
    assert_eq!(client.request(&head, body.as_bytes()).await.status, 200);
    // One connection for many questions.
    assert_eq!(client.request(&head, body.as_bytes()).await.status, 200);
    for (method, path, status) in [
        ("GET", "/mta-hooks", 405),
        ("PUT", "/mta-hooks", 405),
        ("POST", "/", 404),
        ("POST", "/v1/hooks/invoke/none", 404),
        ("DELETE", "/v1/hooks/register/none", 404),
    ] {
        let head = format!("{method} {path} HTTP/1.1\r\nAuthorization: Bearer {SECRET}\r\n");
        let answer = Client::connect(address).await.request(&head, b"{}").await;
        assert_eq!(answer.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_read() {
    let server = with(
        "[limits]\nmessage-size = \"64 KiB\"\n",
        r#"message = ["log seen"]"#,
    )
    .await;
    let address = server.address(Protocol::Hooks);
    // A hundred megabytes that never come.
    let mut client = Client::connect(address).await;
    let head = format!(
        "POST /mta-hooks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: 104857600\r\n\r\n"
    );
    client.write(head.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 413);
    // Without a length.
    let mut client = Client::connect(address).await;
    let head = format!(
        "POST /mta-hooks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    client.write(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..64 {
        if client.write(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    // What is still under way may reset the connection before the answer is read.
    let answer = client.answer().await;
    assert!(answer.is_none_or(|answer| answer.status == 413));
    // It is understood, but the message is too large.
    let message = format!("{MESSAGE}{}", "x".repeat(64 << 10));
    let said = answer_of(&server, &message).await;
    assert_eq!(said["response"]["status"], 552);
    works(&server).await;
}

async fn answer_of(server: &Server, message: &str) -> Value {
    answer(server, &question("data", "Q", ALICE, message)).await
}

#[tokio::test]
async fn a_thousand_connections_that_say_nothing_keep_nobody_out() {
    let server = scripted(r#"message = ["log seen"]"#).await;
    let address = server.address(Protocol::Hooks);
    let mut silent = Vec::new();
    for number in 0..1000 {
        let mut client = Client::connect(address).await;
        let begun = match number % 3 {
            0 => String::new(),
            1 => "POST /mta-hooks HT".to_owned(),
            // The whole header, and a body that does not come.
            _ => format!(
                "POST /mta-hooks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: 1000\r\n\r\n{{"
            ),
        };
        client.write(begun.as_bytes()).await.unwrap();
        silent.push(client);
    }
    works(&server).await;
    drop(silent);
    works(&server).await;
}

#[tokio::test]
async fn what_is_under_way_is_answered_at_the_stop() {
    let server = scripted(r#"message = ["sleep 300"]"#).await;
    let address = server.address(Protocol::Hooks);
    let body = question("data", "Q7", ALICE, MESSAGE).to_string();
    let mut client = Client::connect(address).await;
    let head = format!(
        "POST /mta-hooks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write(head.as_bytes()).await.unwrap();
    // Octets that are read belong to a request under way.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let home = server.home;
    let (answer, ()) = tokio::join!(client.answer(), server.app.stop());
    assert_eq!(answer.unwrap().json()["action"], "accept");
    drop(home);
}
