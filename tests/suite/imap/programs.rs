//! Clients that people use: Python's imaplib, curl, mbsync, mutt. A test passes over a program that isn't there, and says so.

use super::*;
use crate::support::program;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Beside the server.
async fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = soon(output).await.unwrap().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_reads_writes_and_searches() {
    let Some(mut python) = program("python3") else {
        return;
    };
    let server = Server::start().await;
    let script = r#"
import imaplib, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.check_hostname = False
m = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]))
m.starttls(context)
assert m.login("alice@example.test", "secret")[0] == "OK"
assert m.append("INBOX", r"(\Flagged)", None, b"Subject: from python\r\n\r\nbody\r\n")[0] == "OK"
assert m.select("INBOX")[1] == [b"1"]
assert m.search(None, "SUBJECT", "python")[1] == [b"1"]
data = m.fetch("1", "(RFC822)")[1]
assert data[0][1] == b"Subject: from python\r\n\r\nbody\r\n", data
assert b"\\Seen" in m.fetch("1", "(FLAGS)")[1][0]
assert m.create("folder")[0] == "OK"
assert m.copy("1", "folder")[0] == "OK"
assert m.uid("MOVE", "1", "Trash")[0] == "OK"
assert m.noop()[0] == "OK"
assert m.select("Trash")[1] == [b"1"]
assert m.store("1", "+FLAGS", r"\Deleted")[0] == "OK"
assert m.expunge()[1] == [b"1"]
assert m.list()[0] == "OK"
assert m.status("folder", "(MESSAGES UNSEEN)")[1] == [b'"folder" (MESSAGES 1 UNSEEN 0)']
assert m.close()[0] == "OK"
assert m.logout()[0] == "BYE"
"#;
    let certificate = server.directory.path().join("self-signed-certificate.pem");
    python
        .args(["-c", script, &server.address.port().to_string()])
        .arg(certificate);
    run(python).await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_reads_and_writes() {
    if program("curl").is_none() {
        return;
    }
    let server = Server::start().await;
    let file = server.directory.path().join("message.eml");
    std::fs::write(&file, MESSAGE).unwrap();
    let curl = |path: &str, extra: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--user",
            "alice@example.test:secret",
        ])
        .args(extra)
        .arg(format!("imap://{}/{path}", server.address));
        curl
    };
    run(curl("INBOX", &["--upload-file", file.to_str().unwrap()])).await;
    let secure = ["--ssl-reqd", "--insecure"];
    let read = run(curl("INBOX;MAILINDEX=1", &secure)).await;
    assert_eq!(String::from_utf8(read.stdout).unwrap(), MESSAGE);
    let read = run(curl("INBOX;UID=1;SECTION=TEXT", &[])).await;
    assert_eq!(String::from_utf8(read.stdout).unwrap(), "Good morning.\r\n");
    let listed = run(curl("", &[])).await;
    assert!(
        String::from_utf8(listed.stdout)
            .unwrap()
            .contains("\"Archive\"")
    );
    let found = run(curl("INBOX?SUBJECT%20hello", &[])).await;
    assert_eq!(
        String::from_utf8(found.stdout).unwrap().trim(),
        "* SEARCH 1"
    );
    server.finish().await;
}

fn files(directory: &Path) -> usize {
    let count = |name: &str| std::fs::read_dir(directory.join(name)).map_or(0, Iterator::count);
    count("cur") + count("new")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mbsync_synchronises_both_ways() {
    if program("mbsync").is_none() {
        return;
    }
    let server = Server::start().await;
    let mut client = server.with_mail(&[MESSAGE; 3]).await;
    client.say("CREATE \"Entw&APw-rfe\"").await.ok();
    let local = server.directory.path().join("local");
    std::fs::create_dir(&local).unwrap();
    let local_path = local.display();
    let config = format!(
        "IMAPAccount a\nHost 127.0.0.1\nPort {}\nUser alice@example.test\nPass secret\nSSLType None\nAuthMechs LOGIN\n\nIMAPStore far\nAccount a\n\nMaildirStore near\nPath {local_path}/\nInbox {local_path}/INBOX\nSubFolders Verbatim\n\nChannel c\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n",
        server.address.port()
    );
    let file = server.directory.path().join("mbsyncrc");
    std::fs::write(&file, config).unwrap();
    let mbsync = || {
        let mut mbsync = Command::new("mbsync");
        mbsync
            .arg("-c")
            .arg(&file)
            .arg("-a")
            .env("HOME", server.directory.path());
        mbsync
    };
    run(mbsync()).await;
    assert_eq!(files(&local.join("INBOX")), 3);
    let own = local.join("INBOX/new/1.local");
    std::fs::write(own, "Subject: local\n\nwritten here\n").unwrap();
    client.say("STORE 1 +FLAGS \\Deleted").await.ok();
    client.say("EXPUNGE").await.ok();
    run(mbsync()).await;
    assert_eq!(files(&local.join("INBOX")), 3);
    assert_eq!(client.say("NOOP").await.ok()[0], "3 EXISTS");
    assert_eq!(client.say("SEARCH SUBJECT local").await.ok(), ["SEARCH 3"]);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutt_opens_a_mailbox_and_saves_a_message() {
    // Without a terminal mutt only sends; script(1) gives it one.
    if program("mutt").is_none() || program("script").is_none() {
        return;
    }
    let server = Server::start().await;
    let mut client = server.with_mail(&[MESSAGE]).await;
    let copy = server.directory.path().join("copy.mbox");
    let settings = format!(
        "set imap_user=alice@example.test imap_pass=secret ssl_starttls=no ssl_force_tls=no\n\
         set confirmcreate=no confirmappend=no copy=no quit=yes delete=no mark_old=no\n\
         push '<copy-message>{}<enter><copy-message>=Archive<enter><flag-message><quit>'\n",
        copy.display()
    );
    let file = server.directory.path().join("muttrc");
    std::fs::write(
        &file,
        settings + &format!("set folder=imap://{}/\n", server.address),
    )
    .unwrap();
    let command = format!(
        "mutt -n -F {} -f imap://{}/INBOX",
        file.display(),
        server.address
    );
    let mut mutt = Command::new("script");
    mutt.args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("HOME", server.directory.path())
        .env("TERM", "xterm");
    run(mutt).await;
    let saved = std::fs::read_to_string(copy).unwrap();
    assert!(
        saved.contains("Subject: hello") && saved.contains("Good morning."),
        "{saved}"
    );
    let told = client.say("STATUS Archive (MESSAGES)").await.ok();
    assert_eq!(told[0], "STATUS \"Archive\" (MESSAGES 1)");
    assert!(told[1].contains("\\Flagged"), "{told:?}");
    server.finish().await;
}
