//! A domain that is not in ASCII, in both of its spellings.

use crate::support::imap::Reader;
use crate::support::process::{Process, Sender, run};

const UNICODE: &str = "x@почта.test";
const ASCII: &str = "x@xn--80a1acny.test";

#[test]
fn mail_comes_by_either_spelling() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("wasmilter.toml");
    let text = format!(
        "hostname = \"mx.example.test\"\ndata-dir = \"data\"\ndomains = [\"почта.test\"]\npostmaster = \"{ASCII}\"\n\
         [[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nprotocol = \"imap\"\naddress = \"127.0.0.1:0\"\nallow-plaintext-auth = true\n"
    );
    std::fs::write(&file, text).unwrap();
    let account = |what: &str, address: &str| {
        let config = file.to_str().unwrap();
        run(&["account", what, address, "--config", config], "secret\n")
    };
    assert!(account("add", ASCII).status.success());
    assert_eq!(account("add", UNICODE).status.code(), Some(1));
    assert!(account("passwd", UNICODE).status.success());

    let server = Process::serve(&file, 2);
    let mut sender = Sender::connect(server.address("smtp")).unwrap();
    for (parameter, recipient, code) in [
        ("", ASCII, 250),
        (" SMTPUTF8", UNICODE, 250),
        ("", UNICODE, 553),
        // RFC 5321 §4.5.1
        ("", "Postmaster", 250),
    ] {
        let mail = format!("MAIL FROM:<sender@client.example>{parameter}");
        assert_eq!(sender.command(&mail).unwrap(), 250);
        let rcpt = format!("RCPT TO:<{recipient}>");
        assert_eq!(sender.command(&rcpt).unwrap(), code, "{recipient}");
        if code == 250 {
            sender.command("DATA").unwrap();
            let message = format!("Subject: to {recipient}\r\n\r\nb\r\n.");
            assert_eq!(sender.command(&message).unwrap(), 250);
        } else {
            sender.command("RSET").unwrap();
        }
    }
    let mut reader = Reader::open(server.address("imap"), ASCII, "secret", "INBOX");
    for (uid, recipient) in [(1, ASCII), (2, UNICODE), (3, "Postmaster")] {
        let message = String::from_utf8(reader.fetch(uid)).unwrap();
        assert!(message.contains(&format!("Subject: to {recipient}")));
    }
    assert!(server.terminate().success());
}
