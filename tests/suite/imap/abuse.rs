//! What no client should send.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_answered_and_the_session_goes_on() {
    let server = Server::start().await;
    let mut client = server.selected().await;
    for wrong in [
        "FROB",
        "FETCH",
        "FETCH 1:x FLAGS",
        "FETCH 1 (FLAGS",
        "FETCH 1 BINARY[1]",
        "FETCH 1 MODSEQ",
        "FETCH 7 FLAGS",
        "STORE 1 FLAGS (\\Nonsense)",
    ] {
        client.say(wrong).await.is("BAD");
    }
    client.say("NOOP").await.ok();
    client.send("\r\n").await;
    assert!(client.response().await.unwrap().starts_with("* BAD"));
    client.send(b"a NO\0OP\r\n").await;
    client.answer("a").await.is("BAD");
    client
        .send(format!("a SELECT {}\r\n", "x".repeat(300_000)))
        .await;
    client.answer("a").await.is("NO [LIMIT]");
    client.send("a SELECT {300000}\r\n").await;
    client.answer("a").await.is("NO [LIMIT]");
    client.say("NOOP").await.ok();
    let many = vec!["BODY[HEADER]"; 1000].join(" ");
    client.say(format!("FETCH 1 ({many})")).await.is("BAD");
    let mut nested = "NOT ".repeat(5000);
    nested.insert_str(0, "SEARCH ");
    client.say(nested + "ALL").await.is("NO [LIMIT]");
    client.say("NOOP").await.ok();
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_nonsense_ends_it() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send("x y\r\n".repeat(10)).await;
    for _ in 0..10 {
        assert!(client.response().await.unwrap().starts_with("x BAD"));
    }
    assert!(client.response().await.unwrap().starts_with("* BYE"));
    assert!(client.response().await.is_none());
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_login_little_is_taken() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client
        .send(format!("a LOGIN {}\r\n", "x".repeat(9000)))
        .await;
    client.answer("a").await.is("NO [LIMIT]");
    client.say("APPEND INBOX {5}").await.is("BAD");
    client.say("NOOP").await.ok();
    client.send("a LOGIN {10000000+}\r\n").await;
    assert!(client.response().await.unwrap().starts_with("* BYE"));
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_in_the_middle_nothing_is_left() {
    let server = Server::start().await;
    let mut client = server.logged_in().await;
    client.send("a APPEND INBOX {500000}\r\n").await;
    assert!(client.response().await.unwrap().starts_with("+ "));
    client.send(vec![b'x'; 400_000]).await;
    drop(client);
    let mut client = server.selected().await;
    assert_eq!(
        client.say("STATUS INBOX (MESSAGES)").await.ok(),
        ["STATUS \"INBOX\" (MESSAGES 0)"]
    );
    server.stop.cancel();
    server.connections.close();
    soon(server.connections.wait()).await;
    assert_eq!(
        std::fs::read_dir(server.store.staging()).unwrap().count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_commands_are_answered_in_order() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client
        .send("a LOGIN alice@example.test secret\r\nb APPEND INBOX {5+}\r\nx: y\n\r\nc SELECT INBOX\r\nd FETCH 1 BODY.PEEK[]\r\ne LOGOUT\r\n")
        .await;
    for tag in ["a", "b", "c"] {
        client.answer(tag).await.ok();
    }
    assert_eq!(
        client.answer("d").await.ok(),
        ["1 FETCH (BODY[] {5}\r\nx: y\n)"]
    );
    client.answer("e").await.ok();
    server.finish().await;
}
