//! Each limit crossed: what the client is told, and what is counted. Time in amounts is tested in `net::guard`.

use super::*;
use std::time::Instant;
use wasmilter::net::Networks;
use wasmilter::net::guard::{self, Ban, Guard, Limit, Resources, Room, Slowest};

/// A server whose limits hold for everybody.
async fn server(change: impl FnOnce(&mut guard::Config)) -> (Server, Arc<Guard>) {
    with_resources(change, None).await
}

async fn with_resources(
    change: impl FnOnce(&mut guard::Config),
    resources: Option<Box<dyn Resources>>,
) -> (Server, Arc<Guard>) {
    let mut limits = guard::Config {
        exempt: Networks::default(),
        ..guard::Config::default()
    };
    change(&mut limits);
    let guard = Arc::new(Guard::new(limits, resources));
    let server = Server::with(|config| {
        config.guard = Arc::clone(&guard);
        config.core.errors = 3;
        config.core.idle_commands = 10;
        config.core.commands = 30;
    })
    .await;
    (server, guard)
}

async fn turned_away(server: &Server) -> String {
    Client::silent(&server.endpoint).await.end().await
}

#[tokio::test]
async fn connections_at_once_and_in_a_minute() {
    let (server, guard) = server(|limits| limits.address.connections = 1).await;
    let _first = server.client().await;
    assert!(turned_away(&server).await.starts_with("421 4.7.0 "));
    assert_eq!(guard.counters().get(Limit::Connections), 1);

    let (server, guard) = self::server(|limits| limits.network.minute.connections = 2).await;
    for _ in 0..2 {
        server.client().await.dialogue(&[("QUIT", "221")]).await;
    }
    assert!(turned_away(&server).await.starts_with("421 4.7.0 "));
    assert_eq!(guard.counters().get(Limit::ConnectionRate), 1);

    let (server, guard) = self::server(|limits| limits.all.connections = 1).await;
    let _first = server.client().await;
    assert!(turned_away(&server).await.starts_with("421 4.3.2 "));
    assert_eq!(guard.counters().get(Limit::Connections), 1);
}

#[tokio::test]
async fn messages_recipients_and_bytes_in_a_minute() {
    let (server, guard) = server(|limits| limits.address.minute.messages = 1).await;
    let mut client = server.client().await;
    client
        .dialogue(&[
            ("EHLO c.test", "250"),
            ("MAIL FROM:<>", "250"),
            ("RSET", "250"),
            ("MAIL FROM:<>", "450 4.7.1"),
        ])
        .await;
    assert_eq!(guard.counters().get(Limit::Messages), 1);

    let (server, guard) = self::server(|limits| limits.address.minute.recipients = 1).await;
    let mut client = server.client().await;
    client
        .dialogue(&[
            ("EHLO c.test", "250"),
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("RCPT TO:<bob@example.test>", "450 4.7.1"),
        ])
        .await;
    assert_eq!(guard.counters().get(Limit::Recipients), 1);

    // Those of a message that is refused came too.
    for (message, code) in [
        ("Subject: more than five\r\n.", "250"),
        ("more\nthan five\r\n.", "554"),
    ] {
        let (server, guard) = self::server(|limits| limits.all.hour.bytes = 5).await;
        let mut client = server.client().await;
        client.up_to_data().await;
        client
            .dialogue(&[(message, code), ("MAIL FROM:<>", "450 4.7.1")])
            .await;
        assert_eq!(guard.counters().get(Limit::Bytes), 1, "{code}");
    }
}

#[tokio::test]
async fn commands_errors_and_the_ban_for_them() {
    let (server, guard) = server(|limits| {
        limits.ban = Ban {
            offences: 3,
            ..limits.ban
        };
        limits.tarpit_after = 10;
    })
    .await;
    let mut client = server.client().await;
    client.write(&b"NOOP\r\n".repeat(11)).await;
    let said = client.end().await;
    assert!(
        said.ends_with("421 4.7.0 Too many commands and no message\r\n"),
        "{said}"
    );
    let mut client = server.client().await;
    let round = b"MAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nMAIL FROM:<>\r\nRSET\r\n";
    client.write(b"EHLO c.test\r\n").await;
    client.write(&round.repeat(2)).await;
    client.write(b"MAIL FROM:<>\r\n").await;
    for _ in 0..25 {
        client.write(b"RCPT TO:<bob@example.test>\r\n").await;
    }
    assert!(
        client
            .end()
            .await
            .ends_with("421 4.7.0 Too many commands and no message\r\n")
    );
    let mut client = server.client().await;
    client.write(&b"WHAT\r\n".repeat(3)).await;
    assert!(
        client
            .end()
            .await
            .ends_with("421 4.7.0 Too many errors\r\n")
    );
    for (limit, times) in [(Limit::Commands, 2), (Limit::Errors, 1)] {
        assert_eq!(guard.counters().get(limit), times);
    }
    let reply = turned_away(&server).await;
    assert!(reply.starts_with("421 4.7.0 Too many offences"), "{reply}");
    assert_eq!(guard.counters().get(Limit::Banned), 1);
}

#[tokio::test]
async fn who_speaks_before_the_greeting_hears_no_more() {
    let (server, guard) = server(|limits| limits.greeting_delay = Duration::from_secs(20)).await;
    let mut client = Client::silent(&server.endpoint).await;
    client.write(b"EHLO c.test\r\n").await;
    assert!(client.end().await.starts_with("554 5.5.1 "));
    assert_eq!(guard.counters().get(Limit::EarlyTalk), 1);
    let (server, _) =
        self::server(|limits| limits.greeting_delay = Duration::from_millis(20)).await;
    server.client().await.dialogue(&[("NOOP", "250")]).await;
}

#[tokio::test]
async fn errors_are_answered_late() {
    let (server, _) = server(|limits| {
        limits.tarpit_after = 1;
        limits.tarpit = Duration::from_millis(50);
    })
    .await;
    let mut client = server.client().await;
    client.dialogue(&[("WHAT", "500")]).await;
    let began = Instant::now();
    client.dialogue(&[("WHAT", "500")]).await;
    assert!(began.elapsed() >= Duration::from_millis(50));
    // The wait is no shorter for those that come in one packet, the last one too.
    let mut client = server.client().await;
    let began = Instant::now();
    client.write(&b"WHAT\r\n".repeat(3)).await;
    assert!(client.end().await.contains("421 4.7.0 Too many errors"));
    assert!(began.elapsed() >= Duration::from_millis(100));
}

/// One octet every few milliseconds, until there is an answer.
async fn dribble(client: &mut Client) -> String {
    dribble_by(client, b"x").await
}

/// Such pieces until the answer is not that all is well.
async fn dribble_by(client: &mut Client, piece: &[u8]) -> String {
    loop {
        client.write(piece).await;
        let answer = tokio::time::timeout(Duration::from_millis(5), client.reply());
        match answer.await {
            Ok(reply) if reply.starts_with("250 ") => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(reply) => return reply,
            Err(_) => {}
        }
    }
}

#[tokio::test]
async fn slow_clients_are_cut() {
    let (server, guard) = server(|limits| {
        limits.slowest = Slowest {
            rate: 1_000_000,
            grace: Duration::from_millis(60),
            command: Duration::from_millis(60),
        }
    })
    .await;
    let slow = "421 4.4.2 mx.example.test Too slow";
    let mut client = server.client().await;
    assert_eq!(dribble(&mut client).await, slow);
    let mut client = server.client().await;
    client.up_to_data().await;
    assert_eq!(dribble(&mut client).await, slow);
    let mut client = server.client().await;
    client
        .dialogue(&[
            ("EHLO c.test", "250"),
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<bob@example.test>", "250"),
        ])
        .await;
    client.write(b"BDAT 100000\r\n").await;
    assert_eq!(dribble(&mut client).await, slow);
    // By chunks of one octet.
    let mut client = server.client().await;
    client
        .dialogue(&[
            ("EHLO c.test", "250"),
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<bob@example.test>", "250"),
        ])
        .await;
    assert_eq!(dribble_by(&mut client, b"BDAT 1\r\nx").await, slow);
    // In a line that is no command any more.
    let mut client = server.client().await;
    client.write(b"WHAT\n").await;
    assert!(client.reply().await.starts_with("500 "));
    assert_eq!(dribble(&mut client).await, slow);
    assert_eq!(guard.counters().get(Limit::Slow), 5);
    assert!(server.store.delivered().await.is_empty());
}

struct Machine {
    resident: u64,
    free: u64,
}

impl Resources for Machine {
    fn resident(&self) -> Option<u64> {
        Some(self.resident)
    }
    fn free(&self) -> Option<u64> {
        Some(self.free)
    }
}

#[tokio::test]
async fn without_room_new_mail_is_put_off() {
    let room = Room {
        memory: 100,
        disk_free: 100,
    };
    let full = Machine {
        resident: 1,
        free: 1,
    };
    let (server, guard) = with_resources(|limits| limits.room = room, Some(Box::new(full))).await;
    let mut client = server.client().await;
    client
        .dialogue(&[
            ("EHLO c.test", "250"),
            ("MAIL FROM:<>", "452 4.3.1"),
            ("NOOP", "250"),
        ])
        .await;
    assert_eq!(guard.counters().get(Limit::Disk), 1);
    let large = Machine {
        resident: 101,
        free: 100,
    };
    let (server, guard) = with_resources(|limits| limits.room = room, Some(Box::new(large))).await;
    assert!(turned_away(&server).await.starts_with("421 4.3.2 "));
    assert_eq!(guard.counters().get(Limit::Memory), 1);
}

#[tokio::test]
async fn who_is_trusted_is_not_counted_and_who_is_told_of_is() {
    let limits = guard::Config {
        exempt: Networks::loopback(),
        ..guard::Config::default()
    };
    let mut limits = limits;
    limits.address.connections = 1;
    limits.all.minute.messages = 1;
    let guard = Arc::new(Guard::new(limits, None));
    let server = Server::with(|config| {
        config.guard = guard;
        config.xclient = Networks::loopback();
    })
    .await;
    let mut first = server.client().await;
    let mut second = server.client().await;
    for client in [&mut first, &mut second] {
        client.up_to_data().await;
        client.dialogue(&[(".", "250")]).await;
    }
    first.dialogue(&[("XCLIENT ADDR=192.0.2.7", "220")]).await;
    second
        .dialogue(&[("XCLIENT ADDR=192.0.2.7", "421 4.7.0")])
        .await;
    assert_eq!(second.end().await, "");
}
