//! The control socket of a running server: who may use it, what it answers, and what commands say without it.

use crate::support::process::{Process, run};
use crate::support::{self, Server};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// The status line and the body of the answer to a request written by hand.
pub fn ask(socket: &Path, request: &str) -> (String, serde_json::Value) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let request = format!(
        "{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.lines().next().unwrap().to_owned();
    (status, serde_json::from_str(body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_in_json() {
    let server = Server::with("[plugins]\ndirectory = \"plugins\"\n", |home| {
        std::fs::create_dir(home.join("plugins")).unwrap();
    })
    .await;
    let socket = server.home.path().join("data/control.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let (line, status) = ask(&socket, "GET /status");
    assert_eq!(line, "HTTP/1.1 200 OK");
    assert_eq!(status["hostname"], "mx.example.test");
    assert_eq!(status["listening"].as_array().unwrap().len(), 3);

    // What lies there now is looked at before the answer.
    std::fs::write(server.home.path().join("plugins/odd.wasm"), "not WASM").unwrap();
    let (line, status) = ask(&socket, "POST /plugins/reload");
    assert_eq!(line, "HTTP/1.1 200 OK");
    assert_eq!(status["plugins"][0]["name"], "odd");
    assert_eq!(status["plugins"][0]["state"]["is"], "kept-out");

    let (line, problem) = ask(&socket, "GET /none");
    assert_eq!(line, "HTTP/1.1 404 Not Found");
    assert!(problem["error"].as_str().unwrap().contains("GET /none"));
    server.app.stop().await;
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_plugins_says_so() {
    let server = Server::start().await;
    let socket = server.home.path().join("data/control.sock");
    let (line, problem) = ask(&socket, "POST /plugins/reload");
    assert_eq!(line, "HTTP/1.1 409 Conflict");
    assert!(problem["error"].as_str().unwrap().contains("[plugins]"));
}

#[tokio::test]
async fn commands_say_what_they_tried_when_no_server_runs() {
    let home = tempfile::tempdir().unwrap();
    let config = support::config(home.path(), "");
    support::accounts(&config).await;
    let file = home.path().join("wasmilter.toml");
    let status = || run(&["status", "--config", file.to_str().unwrap()], "");
    let complaint = || {
        let output = status();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = complaint();
    assert!(
        said.contains("no server runs") && said.contains("control.sock"),
        "{said}"
    );
    assert!(said.contains("wasmilter serve --config"), "{said}");

    // A killed server leaves its socket; the next one takes its place.
    Process::serve(&file, 3).kill();
    let said = complaint();
    assert!(said.contains("left over"), "{said}");
    let server = Process::serve(&file, 3);
    let output = status();
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("mx.example.test") && said.contains("smtp ready on 127.0.0.1:"),
        "{said}"
    );
    assert!(server.terminate().success());
    assert!(complaint().contains("there is no"));
}

#[tokio::test]
async fn a_live_socket_is_not_replaced() {
    let home = tempfile::tempdir().unwrap();
    let config = support::config(home.path(), "");
    support::accounts(&config).await;
    let socket = home.path().join("data/control.sock");
    let _live = UnixListener::bind(&socket).unwrap();
    let Err(error) = wasmilter::app::App::start(&config, None).await else {
        panic!("it took another program's socket");
    };
    assert!(error.to_string().contains("another program"), "{error}");
    assert!(socket.exists());
}
