//! A message whose octets are damaged or lost: the others of its mailbox can be read, and the log says which it is.

use super::*;
use crate::support::logged::Logged;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The one file of the store that holds octets of messages.
fn blob(data: &Path) -> PathBuf {
    let shelves = fs::read_dir(data.join("blobs")).unwrap();
    let mut files = shelves.flat_map(|shelf| fs::read_dir(shelf.unwrap().path()).unwrap());
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

fn cut_off(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length / 2).unwrap();
}

fn hollow(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(0).unwrap();
    file.set_len(length).unwrap();
}

fn lose(path: &Path) {
    fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn one_damaged_message_hides_no_other() {
    // In a file that others may share, and in one of its own.
    let (shared, alone) = (2_000, 20_000);
    for (what, lines, damage) in [
        ("a shared file is lost", shared, lose as fn(&Path)),
        ("a shared file is cut off", shared, cut_off),
        ("a shared file has a hole", shared, hollow),
        ("its own file is lost", alone, lose),
        ("its own file is cut off", alone, cut_off),
    ] {
        let log = Logged::start();
        let server = Server::start().await;
        let long = format!("{MESSAGE}{}", "morning after morning\r\n".repeat(lines));
        let mut client = server.with_mail(&[MESSAGE, &long, MESSAGE]).await;
        damage(&blob(&server.directory.path().join("data")));
        let whole = |number| {
            let length = MESSAGE.len();
            format!("{number} FETCH (UID {number} BODY[] {{{length}}}\r\n{MESSAGE})")
        };
        let answer = client.say("FETCH 1:3 (UID BODY.PEEK[])").await;
        assert_eq!(
            answer.tagged, "NO [SERVERBUG] 1 of the messages could not be read",
            "{what}"
        );
        assert_eq!(answer.untagged, [whole(1), whole(3)], "{what}");
        let said = "account=\"alice@example.test\" mailbox=INBOX uid=2";
        assert_eq!((log.count(said), log.count("ERROR")), (1, 1), "{what}");
        let found = client.say("SEARCH TEXT morning").await.ok();
        assert_eq!(found, ["SEARCH 1 3"], "{what}");
        assert_eq!(log.count(said), 2, "{what}");
        client.say("FETCH 2 (FLAGS RFC822.SIZE)").await.ok();
        server.finish().await;
    }
}
