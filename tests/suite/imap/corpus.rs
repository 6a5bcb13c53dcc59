//! Thousands of real messages, odd and broken ones among them: every answer about them can be parsed. The messages are other people's:
//! they are not part of this repository, and the test is skipped where they are not beside it.

use super::*;
use crate::corpus::{files, packs};
use jiff::Timestamp;
use wasmilter::mail::Content;
use wasmilter::store::{Append, Flags, MailboxName};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_about_real_mail_can_be_parsed() {
    let Some(packs) = packs() else { return };
    let directory = tempfile::tempdir().unwrap();
    for pack in packs {
        let mut tar = std::process::Command::new("tar");
        let status = tar
            .arg("-xf")
            .arg(pack)
            .arg("-C")
            .arg(directory.path())
            .status();
        assert!(status.unwrap().success());
    }
    let mut found = Vec::new();
    files(directory.path(), &mut found);
    let server = Server::start().await;
    let inbox = server
        .store
        .mailbox(server.account, &MailboxName::inbox())
        .await
        .unwrap();
    for batch in found.chunks(100) {
        let append = |path| Append {
            content: Content::from_bytes(std::fs::read(path).unwrap()),
            flags: Flags::new(),
            internal_date: Timestamp::UNIX_EPOCH,
        };
        let messages = batch.iter().map(append).collect();
        server.store.append(inbox.id, messages).await.unwrap();
    }
    let mut client = server.selected().await;
    for items in [
        "(ENVELOPE BODYSTRUCTURE)",
        "(BODY BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[2.1] BODY.PEEK[TEXT]<10.100>)",
        "BODY.PEEK[HEADER.FIELDS.NOT (Received)]",
    ] {
        assert_eq!(
            client.say(format!("FETCH 1:* {items}")).await.ok().len(),
            found.len()
        );
    }
    for keys in [
        "BODY \"click here\"",
        "TEXT viagra",
        "SENTSINCE 1-Jan-2003 FROM a",
    ] {
        let found = client.say(format!("SEARCH {keys}")).await.ok();
        assert!(found[0].len() > "SEARCH".len(), "{keys}");
    }
    // The size that is told is the size that is sent.
    for answer in client.say("FETCH 1:* (RFC822.SIZE BODY.PEEK[])").await.ok() {
        let (_, rest) = answer.split_once("RFC822.SIZE ").unwrap();
        let (size, rest) = rest.split_once(' ').unwrap();
        assert!(rest.starts_with(&format!("BODY[] {{{size}}}")) || size == "0");
    }
    server.finish().await;
}
