use super::*;
use crate::net::logged::Logged;
use std::os::unix::fs::PermissionsExt;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

#[test]
fn endpoints_print_as_they_are_written() {
    for good in [
        "127.0.0.1:2525",
        "[::1]:25",
        "0.0.0.0:0",
        "unix:/run/wasmilter/smtp.sock",
    ] {
        assert_eq!(good.parse::<Endpoint>().unwrap().to_string(), good);
    }
    for bad in [
        "",
        "2525",
        "127.0.0.1",
        "localhost:25",
        "unix:",
        "unix:relative",
        "127.0.0.1:70000",
    ] {
        assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
    }
}

#[test]
fn whoever_is_out_of_descriptors_is_told_what_to_do() {
    let of = |errno: Errno| remedy(&errno.into());
    assert!(of(Errno::MFILE).contains("LimitNOFILE"));
    assert!(of(Errno::NFILE).contains("fs.file-max"));
    assert_eq!(of(Errno::NOMEM), "");
}

async fn anywhere() -> Listener {
    Listener::bind(&"127.0.0.1:0".parse().unwrap())
        .await
        .unwrap()
}

async fn connect(endpoint: &Endpoint) -> TcpStream {
    match endpoint {
        Endpoint::Tcp(address) => TcpStream::connect(address).await.unwrap(),
        Endpoint::Unix(_) => panic!("a TCP address was expected"),
    }
}

/// Sends back what it gets until the end.
async fn echo(stream: Stream) {
    let (mut read, mut write) = tokio::io::split(stream);
    let _ = tokio::io::copy(&mut read, &mut write).await;
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_says_so() {
    let first = anywhere().await;
    let error = Listener::bind(first.local_address()).await.unwrap_err();
    assert!(matches!(error, BindError::InUse(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains(&first.local_address().to_string())
    );
}

#[tokio::test]
async fn clients_over_the_limit_are_told_and_room_comes_back() {
    let log = Logged::start();
    let listener = anywhere().await;
    let at = listener.local_address().clone();
    let stop = CancellationToken::new();
    let limits = Limits {
        connections: 1,
        refusal: "421 4.7.0 too many\r\n".into(),
        ..Limits::default()
    };
    let server = tokio::spawn({
        let stop = stop.clone();
        async move { listener.serve(limits, stop, echo).await }
    });
    let mut first = connect(&at).await;
    first.write_all(b"x").await.unwrap();
    assert_eq!(first.read_u8().await.unwrap(), b'x');

    let mut second = connect(&at).await;
    let mut told = String::new();
    second.read_to_string(&mut told).await.unwrap();
    assert_eq!(told, "421 4.7.0 too many\r\n");

    first.shutdown().await.unwrap();
    assert_eq!(
        first.read_u8().await.unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );
    // The place is free once the task of the first is gone, which is just after its end was seen.
    let mut third = loop {
        let mut next = connect(&at).await;
        next.write_all(b"y").await.unwrap();
        if matches!(next.read_u8().await, Ok(b'y')) {
            break next;
        }
    };
    let mut fourth = connect(&at).await;
    fourth.read_to_string(&mut told).await.unwrap();
    // Once a minute, however often there is room in between.
    assert_eq!(log.count("turning clients away"), 1);
    third.shutdown().await.unwrap();
    stop.cancel();
    server.await.unwrap();
}

#[tokio::test]
async fn the_stop_waits_for_what_is_in_flight() {
    let listener = anywhere().await;
    let at = listener.local_address().clone();
    let stop = CancellationToken::new();
    let server = tokio::spawn({
        let stop = stop.clone();
        async move { listener.serve(Limits::default(), stop, echo).await }
    });
    let mut client = connect(&at).await;
    client.write_all(b"a").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'a');
    stop.cancel();
    client.write_all(b"b").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'b');
    assert!(!server.is_finished());
    client.shutdown().await.unwrap();
    server.await.unwrap();
    let Endpoint::Tcp(address) = at else {
        unreachable!()
    };
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_does_not_end_is_cut() {
    let listener = anywhere().await;
    let at = listener.local_address().clone();
    let stop = CancellationToken::new();
    let (started, running) = oneshot::channel();
    let started = std::sync::Mutex::new(Some(started));
    let limits = Limits {
        drain: Duration::from_millis(20),
        ..Limits::default()
    };
    let server = tokio::spawn({
        let stop = stop.clone();
        async move {
            let handler = |stream: Stream| {
                let started = started.lock().unwrap().take();
                async move {
                    let _kept = stream;
                    started.unwrap().send(()).unwrap();
                    std::future::pending::<()>().await;
                }
            };
            listener.serve(limits, stop, handler).await;
        }
    });
    let mut client = connect(&at).await;
    running.await.unwrap();
    stop.cancel();
    server.await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_unix_socket_replaces_a_stale_one_but_not_a_live_one_or_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("smtp.sock");
    let endpoint = Endpoint::Unix(path.clone());
    // What a killed process leaves: the standard library's listener doesn't remove its file.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());

    let listener = Listener::bind_for(&endpoint, &Access::new(0o600))
        .await
        .unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let error = Listener::bind(&endpoint).await.unwrap_err();
    assert!(matches!(error, BindError::InUse(_)), "{error}");
    assert_eq!(listener.local_address(), &endpoint);
    drop(listener);
    assert!(!path.exists());

    std::fs::write(&path, "precious").unwrap();
    let error = Listener::bind(&endpoint).await.unwrap_err();
    assert!(matches!(error, BindError::NotASocket(_)), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[tokio::test]
async fn a_unix_client_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("smtp.sock");
    let listener = Listener::bind(&Endpoint::Unix(path.clone())).await.unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn({
        let stop = stop.clone();
        async move { listener.serve(Limits::default(), stop, echo).await }
    });
    let mut client = UnixStream::connect(&path).await.unwrap();
    client.write_all(b"z").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'z');
    drop(client);
    stop.cancel();
    server.await.unwrap();
    assert!(!path.exists());
}
