//! HTTP requests of plugins: to the hosts that were granted, at public addresses, bounded.

use super::*;
use crate::support::dns::{Dns, Zone};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wasmilter::plugin::{Services, Web};

/// Answers by path; the requests come out of the channel.
async fn serve() -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !is_whole(&request) {
                    let mut chunk = [0; 4096];
                    match stream.read(&mut chunk).await {
                        Ok(0) | Err(_) => return,
                        Ok(n) => request.extend(&chunk[..n]),
                    }
                }
                let request = String::from_utf8(request).unwrap();
                let path = request.split(' ').nth(1).unwrap().to_owned();
                let _ = seen.send(request);
                let head = |status: &str, length: usize| {
                    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n")
                };
                let _ = match path.as_str() {
                    "/silent" => return std::future::pending().await,
                    "/redirect" => {
                        let answer = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n";
                        stream.write_all(answer.as_bytes()).await
                    }
                    "/large" => {
                        let _ = stream.write_all(head("200 OK", 9 << 20).as_bytes()).await;
                        stream.write_all(&vec![b'x'; 9 << 20]).await
                    }
                    // No length, and no end.
                    "/endless" => {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                        while stream.write_all(&[b'x'; 65536]).await.is_ok() {}
                        Ok(())
                    }
                    _ => {
                        let answer = head("200 OK", 5) + "hello";
                        stream.write_all(answer.as_bytes()).await
                    }
                };
            });
        }
    });
    (address, requests)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((header, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = header.split("content-length: ").nth(1);
    let length = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
    body.len() >= length
}

/// A host with one guest that may reach `hosts`, and perhaps private addresses.
async fn reaching(hosts: &[&str], private: bool, dns: Option<&Dns>, script: &str) -> (Rig, Host) {
    let rig = Rig::new();
    let manifest =
        format!("[limits]\nwall-ms = 3000\n[capabilities]\nhttp = {hosts:?}\n[config]\n{script}");
    rig.plugin("guest", &manifest, GUEST);
    let dns = dns.map(|dns| Arc::new(dns.resolver()) as Arc<dyn wasmilter::plugin::Dns>);
    let config = Config {
        services: Services {
            http: Some(Arc::new(Web::new(dns).unwrap())),
            ..Services::default()
        },
        grants: if private {
            let grants = rig.path().join("grants.toml");
            let all = "[\"*\"]\nabilities = [\"*\", \"http-private\"]\nverdicts = [\"*\"]\n";
            fs::write(&grants, all).unwrap();
            Granting::File(grants)
        } else {
            Granting::Everything
        },
        ..rig.config()
    };
    let host = Host::start(config).await.unwrap();
    assert_eq!(host.generation().plugins[0].state, PluginState::Active);
    (rig, host)
}

#[tokio::test]
async fn a_granted_host_is_asked() {
    let (address, mut requests) = serve().await;
    let host = address.to_string();
    let script = format!(
        r#"message = ["web GET http://{host}/a?b=c", "web POST http://{host}/ some text", "web GET http://{host}/redirect"]"#
    );
    let (_rig, plugins) = reaching(&[&host], true, None, &script).await;
    let outcome = at_message(&plugins).await;
    fine(&outcome);
    // The redirect is the guest's to follow, and would be checked again.
    assert_eq!(logged(&outcome), ["200 hello", "200 hello", "302 "]);
    let first = requests.recv().await.unwrap().to_lowercase();
    assert!(first.starts_with("get /a?b=c http/1.1\r\n"), "{first}");
    assert!(first.contains(&format!("host: {host}\r\n")) && first.contains("x-guest: yes"));
    let second = requests.recv().await.unwrap();
    assert!(second.ends_with("\r\n\r\nsome text"), "{second}");
    let call = &outcome.calls[0];
    assert_eq!(
        (
            call.what.as_str(),
            call.argument.as_str(),
            call.result.as_str()
        ),
        ("http", &*format!("GET http://{host}/a?b=c"), "200 OK")
    );
}

#[tokio::test]
async fn other_hosts_and_ports_are_refused_with_the_line_to_add() {
    let (address, mut requests) = serve().await;
    let script = format!(
        r#"message = ["web GET http://{address}/", "web GET http://user@example.test:80/", "web GET http://example.test:8080/"]"#
    );
    let (_rig, plugins) = reaching(&["example.test:80"], true, None, &script).await;
    let outcome = at_message(&plugins).await;
    fine(&outcome);
    assert!(
        logged(&outcome)
            .iter()
            .all(|line| line.starts_with("error: denied")),
        "{outcome:?}"
    );
    assert_eq!(outcome.refused.len(), 3);
    assert!(
        outcome.refused[0].contains(&format!(
            "under [capabilities] in its plugin.toml, write: http = [\"example.test:80\", \"{address}\"]"
        )),
        "{:?}",
        outcome.refused
    );
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn private_addresses_need_a_grant_even_behind_a_name() {
    let (address, mut requests) = serve().await;
    let dns = Dns::start(Zone::default().address("inside.example.test", address.ip())).await;
    let named = format!("inside.example.test:{}", address.port());
    let script = format!(
        r#"message = ["web GET http://{named}/", "web GET http://{address}/", "web GET http://nobody.example.test/"]"#
    );
    let hosts = [
        named.as_str(),
        &address.to_string(),
        "nobody.example.test:80",
    ];
    let (_rig, plugins) = reaching(&hosts, false, Some(&dns), &script).await;
    let outcome = at_message(&plugins).await;
    fine(&outcome);
    let answers = logged(&outcome);
    assert!(
        answers[..2]
            .iter()
            .all(|line| line.contains("DestinationIpProhibited")),
        "{answers:?}"
    );
    assert!(answers[2].contains("DnsError"), "{answers:?}");
    assert!(
        outcome.calls[0].result.contains("http-private"),
        "{:?}",
        outcome.calls
    );
    assert!(requests.try_recv().is_err());

    let (_rig, plugins) = reaching(&hosts, true, Some(&dns), &script).await;
    assert_eq!(
        logged(&at_message(&plugins).await)[..2],
        ["200 hello", "200 hello"]
    );
}

#[tokio::test]
async fn answers_and_time_are_bounded() {
    let (address, _requests) = serve().await;
    let host = address.to_string();
    let script =
        format!(r#"message = ["web GET http://{host}/large", "times 12 web GET http://{host}/"]"#);
    let (_rig, plugins) = reaching(&[&host], true, None, &script).await;
    let outcome = at_message(&plugins).await;
    fine(&outcome);
    let answers = logged(&outcome);
    assert!(answers[0].contains("HttpResponseBodySize"), "{answers:?}");
    assert_eq!(
        answers.iter().filter(|line| **line == "200 hello").count(),
        9
    );
    assert!(answers[12].starts_with("error: denied"), "{answers:?}");
    for path in ["silent", "endless"] {
        let script = format!(r#"message = ["web GET http://{host}/{path}"]"#);
        let (_rig, plugins) = reaching(&[&host], true, None, &script).await;
        let outcome = at_message(&plugins).await;
        match outcome.result {
            // The endless one reaches its bound, or its time is over.
            Ok(_) => assert!(logged(&outcome)[0].starts_with("error: "), "{outcome:?}"),
            Err(failure) => assert_eq!(failure.kind.to_string(), "timeout", "{path}"),
        }
        assert_eq!(outcome.calls.len(), 1);
    }
}

#[tokio::test]
async fn without_a_network_requests_fail() {
    let (_rig, plugins) = scripted(r#"message = ["web GET http://example.test/"]"#).await;
    let outcome = at_message(&plugins).await;
    fine(&outcome);
    assert!(logged(&outcome)[0].starts_with("error: denied"));
}
