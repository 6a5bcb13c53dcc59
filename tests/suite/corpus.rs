//! Thousands of real messages, odd and broken ones among them: sent by SMTP, read back by IMAP, the same to the octet. The messages are other
//! people's: they are not part of this repository, and the test is skipped where they are not beside it.

use crate::support::imap::Reader;
use crate::support::process::{Process, Sender};
use crate::support::{self, ALICE, PASSWORD};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::time::Instant;
use wasmilter::app;
use wasmilter::mail::{Disposition, Header};
use wasmilter::store::Store;

const PACKS: [&str; 2] = ["spamassassin-dev.tar.xz", "mime-dev.tar.xz"];

pub fn packs() -> Option<Vec<PathBuf>> {
    let directory = std::env::var_os("WASMILTER_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"),
        PathBuf::from,
    );
    let packs = PACKS.map(|pack| directory.join(pack));
    if packs.iter().all(|pack| pack.is_file()) {
        return Some(packs.into());
    }
    eprintln!("skipped: no corpus in {}", directory.display());
    None
}

pub fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// As a client sends it: CRLF ends every line, and neither CR nor LF stands alone (RFC 5321 §2.3.8).
pub fn wire(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 32);
    for line in octets.split(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        out.extend(
            line.iter()
                .map(|octet| if *octet == b'\r' { b' ' } else { *octet }),
        );
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[tokio::test]
async fn real_mail_is_read_back_as_it_was_sent() {
    let Some(packs) = packs() else { return };
    let home = tempfile::tempdir().unwrap();
    let mail = home.path().join("mail");
    std::fs::create_dir(&mail).unwrap();
    for pack in packs {
        let mut tar = std::process::Command::new("tar");
        let status = tar.arg("-xf").arg(pack).arg("-C").arg(&mail).status();
        assert!(status.unwrap().success());
    }
    let plugins = home.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    wasmilter::plugin::embedded::write_to(&plugins).unwrap();
    // Spam is to be stored too.
    let more = "[plugins]\ndirectory = \"plugins\"\n[policy]\nreject = inf\n";
    let config = support::config(home.path(), more);
    support::accounts(&config).await;
    let server = Process::serve(&home.path().join("wasmilter.toml"), 3);

    let mut messages = Vec::new();
    files(&mail, &mut messages);
    messages.sort();
    let started = Instant::now();
    let mut sender = Sender::connect(server.address("smtp")).unwrap();
    let mut sent = Vec::new();
    let mut refused = Vec::new();
    for file in messages {
        let message = wire(&std::fs::read(&file).unwrap());
        let (code, reply) = sender.send_octets(ALICE, &message).unwrap();
        match reply.split_once(" as ") {
            Some((_, id)) if code == 250 => sent.push((file, id.to_owned(), message)),
            _ => refused.push((file, reply)),
        }
    }
    let accepted_in = started.elapsed();

    let started = Instant::now();
    let store = app::open_store(&config).unwrap();
    let mut readers: std::collections::HashMap<String, Reader> = Default::default();
    for (file, id, message) in &sent {
        let journal = store.journal(id).await.unwrap().unwrap();
        assert!(
            journal.turns.iter().all(|turn| turn.result.is_ok()),
            "{}: a filter failed",
            file.display()
        );
        let Disposition::Filed { mailbox, uid, .. } = &journal.dispositions[0].disposition else {
            panic!("{} was not filed", file.display());
        };
        let reader = readers
            .entry(mailbox.clone())
            .or_insert_with(|| Reader::open(server.address("imap"), ALICE, PASSWORD, mailbox));
        let stored = reader.fetch(*uid);
        // The trace fields on top and the fields that filters added are ours; the body must be theirs, and so must each received field.
        // Without an empty line it is all header.
        let body = memchr::memmem::find(message, b"\r\n\r\n").unwrap_or(message.len());
        assert!(
            stored.ends_with(&message[body..]),
            "{}: the body changed",
            file.display()
        );
        let header = Header::parse(&Bytes::copy_from_slice(message));
        for field in header.fields() {
            let removed = field.name().to_ascii_lowercase().starts_with("x-spam");
            let kept = removed || memchr::memmem::find(&stored, field.octets()).is_some();
            assert!(kept, "{}: {} is gone", file.display(), field.name());
        }
    }
    let read_in = started.elapsed();
    eprintln!(
        "{} messages stored in {accepted_in:.1?}, read back byte for byte in {read_in:.1?}; {} refused",
        sent.len(),
        refused.len()
    );
    for (file, reply) in &refused {
        // Only what is no mail: pictures, sound and the like that lie among it, with NULs or thousands of "header fields".
        let why = ["line", "NUL", "fields"];
        let expected = why.iter().any(|why| reply.contains(why));
        assert!(expected, "{}: {reply}", file.display());
    }
    assert!(sent.len() > 3_400, "{}", sent.len());
}
