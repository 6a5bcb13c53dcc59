//! Certificates from a real ACME server on loopback, Let's Encrypt's Pebble, which looks at our challenges before it signs.

use super::tls::{Authority, der, until};
use crate::support::dns::{Dns, Zone};
use crate::support::{Server, program};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use wasmilter::config::Protocol;

/// Seconds that Pebble's certificates last here: they are renewed after two thirds of them.
const LIFE: u32 = 12;

struct Pebble(Child);

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Addresses of the test's own, so that no other test can take the ports in between.
fn free(address: &str) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).unwrap();
    listener.local_addr().unwrap()
}

impl Pebble {
    async fn start(
        home: &Path,
        authority: &Authority,
        listen: SocketAddr,
        dns: SocketAddr,
        (http, tls): (u16, u16),
    ) -> Option<Self> {
        let mut pebble = program("pebble")?;
        authority.write(home, "pebble", &[&listen.ip().to_string()]);
        let management = free(&listen.ip().to_string());
        let config = format!(
            "{{\"pebble\":{{\"listenAddress\":\"{listen}\",\"managementListenAddress\":\"{management}\",\
             \"certificate\":{:?},\"privateKey\":{:?},\"httpPort\":{http},\"tlsPort\":{tls},\
             \"certificateValidityPeriod\":{LIFE}}}}}",
            home.join("pebble.pem"),
            home.join("pebble.key"),
        );
        std::fs::write(home.join("pebble.json"), config).unwrap();
        let log = std::fs::File::create(home.join("pebble.log")).unwrap();
        let child = pebble
            .arg("-config")
            .arg(home.join("pebble.json"))
            .args(["-dnsserver", &dns.to_string()])
            // It looks at once, and each time again.
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0")])
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let pebble = Self(child);
        let start = Instant::now();
        while tokio::net::TcpStream::connect(listen).await.is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "no Pebble");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(pebble)
    }
}

async fn obtained(challenge: &str, ours: &str, theirs: &str) {
    let (http, tls, directory) = (free(ours), free(ours), free(theirs));
    let dns = Dns::start(
        Zone::default()
            .address("mx.example.test", http.ip())
            .address("imap.example.test", http.ip()),
    )
    .await;
    let away = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ports = (http.port(), tls.port());
    let Some(_pebble) = Pebble::start(away.path(), &authority, directory, dns.address, ports).await
    else {
        return;
    };
    let more = format!(
        "[[listener]]\nprotocol = \"acme\"\naddress = \"{http}\"\n\
         [[listener]]\nprotocol = \"imap\"\naddress = \"{tls}\"\ntls = \"implicit\"\n\
         [acme]\ndirectory-url = \"https://{directory}/dir\"\nca-file = \"authority.pem\"\n\
         contact = [\"postmaster@example.test\"]\nchallenge = \"{challenge}\"\n\
         domains = [\"mx.example.test\", \"imap.example.test\"]\n"
    );
    let server = Server::with(&more, |home| {
        std::fs::write(home.join("authority.pem"), &authority.pem).unwrap();
    })
    .await;
    let data = server.home.path().join("data");
    let own = std::fs::read_to_string(data.join("self-signed-certificate.pem")).unwrap();
    let own = der(&own);
    let log = || std::fs::read_to_string(away.path().join("pebble.log")).unwrap();
    let first = tokio::time::timeout(
        Duration::from_secs(60),
        until(tls, "imap.example.test", |seen| seen != own),
    );
    let first = first.await.unwrap_or_else(|_| panic!("{}", log()));
    let kept = std::fs::read_dir(data.join("acme")).unwrap();
    let mut kept = kept.map(|entry| entry.unwrap().path());
    let is_account = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
    let account = kept.find(is_account).unwrap();
    let before = std::fs::read(&account).unwrap();
    for file in [&account, &data.join("acme/certificate.pem")] {
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    // Renewed before it expires, for the same account.
    until(tls, "mx.example.test", |seen| seen != own && seen != first).await;
    assert_eq!(std::fs::read(&account).unwrap(), before);
    let scraped = super::metrics::scrape(server.address(Protocol::Http)).await;
    assert!(super::metrics::value(&scraped, "wasmilter_acme_orders_total{result=\"ok\"}") >= 2.0);
    let expiry = "wasmilter_certificate_expiry{name=\"mx.example.test\"}";
    let expires = super::metrics::value(&scraped, expiry);
    let now = jiff::Timestamp::now().as_second() as f64;
    assert!((expires - now).abs() < 60.0, "{expires}");
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_http_01() {
    obtained("http-01", "127.0.80.1", "127.0.80.2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_tls_alpn_01() {
    obtained("tls-alpn-01", "127.0.80.3", "127.0.80.4").await;
}
