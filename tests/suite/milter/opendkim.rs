//! OpenDKIM itself: as a link of our chain, where it signs what we take and verifies what it signed, and as a milter of Postfix beside ours.

use super::link::{messages, send, told};
use super::postfix_rig::Postfix;
use super::*;
use crate::support::{self, ALICE};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

struct OpenDkim {
    child: Child,
    socket: std::path::PathBuf,
}

impl Drop for OpenDkim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A key of author.test, and its record where OpenDKIM looks for it.
fn keys(home: &Path) {
    let status = Command::new("opendkim-genkey")
        .args(["-b", "2048", "-s", "s1", "-d", "author.test", "-D"])
        .arg(home)
        .status()
        .unwrap();
    assert!(status.success());
    let zone = std::fs::read_to_string(home.join("s1.txt")).unwrap();
    let strings: String = zone.split('"').skip(1).step_by(2).collect();
    std::fs::write(
        home.join("public"),
        format!("s1._domainkey.author.test {strings}\n"),
    )
    .unwrap();
}

/// `internal` are the clients whose mail it signs.
async fn start(home: &Path, name: &str, internal: &str) -> OpenDkim {
    let socket = home.join(format!("{name}.sock"));
    let path = home.display();
    let config = home.join(format!("{name}.conf"));
    std::fs::write(home.join(format!("{name}.internal")), internal).unwrap();
    std::fs::write(
        &config,
        format!(
            "Syslog no\nBackground no\nMode sv\nCanonicalization simple/simple\n\
             Domain author.test\nSelector s1\nKeyFile {path}/s1.private\nRequireSafeKeys no\n\
             TestPublicKeys {path}/public\nInternalHosts {path}/{name}.internal\nAlwaysAddARHeader yes\nUMask 000\n\
             AuthservID {name}.example.test\nSocket local:{}\n",
            socket.display()
        ),
    )
    .unwrap();
    let child = Command::new("opendkim")
        .arg("-f")
        .arg("-x")
        .arg(&config)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    soon(async {
        while UnixStream::connect(&socket).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    OpenDkim { child, socket }
}

async fn behind(opendkim: &OpenDkim, more: &str) -> Server {
    let milter = format!(
        "{more}[[milter]]\nname = \"opendkim\"\naddress = \"unix:{}\"\n",
        opendkim.socket.display()
    );
    Server::with(&milter, |_| ()).await
}

/// One that signs the mail of loopback and one that verifies it. None, said in one line, where there is no OpenDKIM.
async fn signer_and_verifier(home: &Path) -> Option<(OpenDkim, OpenDkim)> {
    for program in ["opendkim", "opendkim-genkey"] {
        support::program(program)?;
    }
    // Postfix asks it as its own user.
    std::fs::set_permissions(home, PermissionsExt::from_mode(0o755)).unwrap();
    keys(home);
    let signer = start(home, "signer", "127.0.0.1\n").await;
    let verifier = start(home, "verifier", "192.0.2.1\n").await;
    Some((signer, verifier))
}

/// What the verifier found, in the message as it was stored.
fn verdict(stored: &str) -> String {
    let start = stored.find("Authentication-Results: verifier.example.test;");
    let lines = stored[start.unwrap_or_else(|| panic!("{stored}"))..].lines();
    lines.take(3).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn opendkim_signs_and_verifies() {
    let home = tempfile::tempdir().unwrap();
    let Some((signer, verifier)) = signer_and_verifier(home.path()).await else {
        return;
    };

    let ours = behind(&signer, "").await;
    let message = "From: a@author.test\r\nTo:  alice@example.test,\r\n\tbob@example.test\r\nSubject:odd  spacing\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@author.test>\r\n\r\nWords \u{fc} and\r\n.dots\r\n\r\n\r\n";
    let (code, reply) = send(&ours, ALICE, message).await;
    assert_eq!(code, 250, "{reply}");
    let signed = messages(&ours, ALICE).await.remove(0);
    assert!(
        signed.contains(
            "DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=author.test; s=s1;\r\n\tt="
        ),
        "{signed}"
    );
    assert!(signed.ends_with(message), "{signed}");
    let journal = told(&ours, &reply).await;
    let turn = journal.turns.last().unwrap();
    assert_eq!(
        (&turn.filter[..], turn.edits.len()),
        ("opendkim", 1),
        "{turn:?}"
    );
    assert_eq!(ours.app.milters()[0].failures, 0);

    // Everything that we put above the signature is not of it.
    let theirs = behind(&verifier, "").await;
    let (code, reply) = send(&theirs, ALICE, &signed).await;
    assert_eq!(code, 250, "{reply}");
    let stored = messages(&theirs, ALICE).await.remove(0);
    assert!(verdict(&stored).contains("dkim=pass"), "{stored}");

    let forged = signed.replace("Words", "Other words");
    assert_eq!(send(&theirs, ALICE, &forged).await.0, 250);
    let stored = messages(&theirs, ALICE).await.remove(1);
    assert!(!verdict(&stored).contains("dkim=pass"), "{stored}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_opendkim_signed_in_postfix_survives_our_tags_to_the_octet() {
    let home = tempfile::tempdir().unwrap();
    let Some((signer, verifier)) = signer_and_verifier(home.path()).await else {
        return;
    };
    let ours =
        scripted(r#"message = ["insert X-Top", "add X-Checked yes", "score SOME 6 x"]"#).await;
    let milters = format!(
        "unix:{}, inet:{}",
        signer.socket.display(),
        ours.address(Protocol::Milter)
    );
    let Some(postfix) = Postfix::start(&milters, "").await else {
        return;
    };
    // Signed without any canonicalisation: a space more or less, another folding, another octet, and it is void.
    let message = "From: a@author.test\r\nTo:  alice@example.test,\r\n\tbob@example.test\r\nSubject:odd  spacing\r\nX-Twice: 1\r\nX-Twice:  2 \r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@author.test>\r\n\r\nWords \u{fc} and\r\n.dots\r\n\r\n\r\n";
    postfix.taken(ALICE, message).await;
    let delivered = postfix.delivered(ALICE, 1).await.remove(0);
    assert!(
        delivered.contains("DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=author.test;"),
        "{delivered}"
    );
    for tag in [
        "X-Top: inserted\r\n",
        "X-Checked: yes\r\n",
        "X-Spam-Flag: YES\r\n",
    ] {
        assert!(delivered.contains(tag), "{tag}{delivered}");
    }

    let theirs = behind(&verifier, "").await;
    let (code, reply) = send(&theirs, ALICE, &delivered).await;
    assert_eq!(code, 250, "{reply}");
    let stored = messages(&theirs, ALICE).await.remove(0);
    assert!(verdict(&stored).contains("dkim=pass"), "{stored}");
}
