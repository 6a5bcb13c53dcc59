//! What a listener that is asked over HTTP may be configured with, and what is said where it is wrong.

use crate::support::http::{Client, SECRET};
use crate::support::{Server, run};
use std::path::Path;
use std::process::Command;
use wasmilter::config::{Config, Protocol};

fn config(home: &Path, listener: &str) -> Result<Config, String> {
    let text = format!(
        "hostname = \"mx.example.test\"\ndata-dir = \"data\"\n[[listener]]\naddress = \"0.0.0.0:8894\"\n{listener}\n"
    );
    Config::parse(&home.join("wasmilter.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn a_secret_is_wanted_where_others_can_connect_and_has_to_be_one() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("secret"), format!("{SECRET}\n")).unwrap();
    std::fs::write(home.path().join("short"), "short\n").unwrap();
    for protocol in ["hooks", "rspamd"] {
        let with = |more: &str| config(home.path(), &format!("protocol = \"{protocol}\"\n{more}"));
        for right in [
            format!("secret = \"{SECRET}\""),
            "secret-file = \"secret\"".to_owned(),
            format!("secret = \"{SECRET}\"\ntls = \"implicit\""),
        ] {
            let config = with(&right).unwrap();
            assert!(config.listeners[0].secret.is_some());
            // It is in no log.
            assert!(!format!("{:?}", config.listeners).contains(SECRET));
        }
        for (wrong, why) in [
            ("", "anybody who can reach it could ask"),
            ("secret = \"fifteen letters\"", "16 printable"),
            ("secret = \"sixteen letters and spaces\"", "no spaces"),
            ("secret-file = \"short\"", "16 printable"),
            ("secret-file = \"none\"", "cannot be read"),
            (
                "secret = \"x\"\nsecret-file = \"secret\"",
                "a secret already",
            ),
            (
                "secret = \"0123456789abcdef0123\"\ntls = \"starttls\"",
                "no STARTTLS",
            ),
            (
                "secret = \"0123456789abcdef0123\"\nproxy-protocol = true",
                "PROXY protocol",
            ),
        ] {
            let said = with(wrong).unwrap_err();
            assert!(said.contains(why), "{said}");
            // Where, and what to do.
            assert!(
                said.contains("wasmilter.toml:") && said.contains("help:"),
                "{said}"
            );
        }
    }
    let said = config(
        home.path(),
        &format!("protocol = \"smtp\"\nsecret = \"{SECRET}\""),
    )
    .unwrap_err();
    assert!(said.contains("means nothing for smtp"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_this_machine_may_ask_and_with_tls_it_is_https() {
    let server = Server::with(
        "[[listener]]\nprotocol = \"hooks\"\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nprotocol = \"rspamd\"\naddress = \"127.0.0.1:0\"\ntls = \"implicit\"\n",
        |_| (),
    )
    .await;
    let mut client = Client::connect(server.address(Protocol::Hooks)).await;
    let answer = client.request("POST /mta-hooks HTTP/1.1\r\n", b"{}").await;
    assert_eq!(answer.status, 400);
    if crate::support::program("curl").is_some() {
        let mut curl = Command::new("curl");
        let url = format!("https://{}/ping", server.address(Protocol::Rspamd));
        curl.args(["--fail", "--silent", "--insecure", &url]);
        run(curl).await;
    }
}
