//! Real and broken mail against mail-parser, which finds structure in another way.
//! Skips where the corpus is not beside the checkout. Prints counts, never mail.

use crate::mail::Content;
use crate::mail::mime::Mime;
use mail_parser::{MessageParser, PartType};
use std::path::{Path, PathBuf};
use std::process::Command;

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut places: Vec<PathBuf> = std::env::var_os("WASMILTER_CORPUS")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    places.push(beside.join("../shared/corpus"));
    places.push(beside.join("../../shared/corpus"));
    places.into_iter().find(|place| place.is_dir())
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// How a message compares.
enum Comparison {
    Same,
    OtherStructure,
    OtherContent,
    /// mail-parser gave up decoding a part.
    GaveUp,
    /// mail-parser found no message.
    NotMail,
}

fn compare(octets: &[u8]) -> Comparison {
    let mime = Mime::new(Content::from_bytes(octets.to_vec())).unwrap();
    let leaves = mime.leaves();
    let Some(message) = MessageParser::default().parse(octets) else {
        return Comparison::NotMail;
    };
    let theirs: Vec<_> = message
        .parts
        .iter()
        .filter(|part| !matches!(part.body, PartType::Multipart(_)))
        .collect();
    if leaves.len() != theirs.len() {
        return Comparison::OtherStructure;
    }
    let whole = |path: &str, as_text: bool| {
        let mut whole = Vec::new();
        loop {
            let offset = whole.len() as u64;
            let piece = match as_text {
                true => mime.text(path, offset, 65_536).unwrap().into_bytes(),
                false => mime.octets(path, offset, 65_536).unwrap().to_vec(),
            };
            if piece.is_empty() {
                return whole;
            }
            whole.extend(piece);
        }
    };
    if theirs.iter().any(|part| part.is_encoding_problem) {
        return Comparison::GaveUp;
    }
    let is_same = leaves
        .iter()
        .zip(theirs)
        .all(|((path, entity), part)| match &part.body {
            PartType::Text(text) | PartType::Html(text) => whole(path, true) == text.as_bytes(),
            PartType::Binary(octets) | PartType::InlineBinary(octets) => {
                whole(path, false) == octets.as_ref()
            }
            _ => entity.media_type == "message",
        });
    match is_same {
        true => Comparison::Same,
        false => Comparison::OtherContent,
    }
}

/// Counts of the messages of a pack.
#[derive(Debug, Default)]
struct Counts {
    same: usize,
    other_structure: usize,
    other_content: usize,
    gave_up: usize,
    not_mail: usize,
}

fn compare_all(pack: &str) -> Option<Counts> {
    let archive = corpus().map(|place| place.join(pack));
    let Some(archive) = archive.filter(|path| path.is_file()) else {
        eprintln!("skipped: no {pack} in ../shared/corpus or $WASMILTER_CORPUS");
        return None;
    };
    let directory = tempfile::tempdir().unwrap();
    let unpacked = Command::new("tar")
        .arg("-xf")
        .arg(archive)
        .arg("-C")
        .arg(directory.path())
        .status();
    if !unpacked.is_ok_and(|status| status.success()) {
        eprintln!("skipped: tar can't unpack {pack}");
        return None;
    }
    let mut found = Vec::new();
    files(directory.path(), &mut found);
    let mut counts = Counts::default();
    for path in found {
        *match compare(&std::fs::read(&path).unwrap()) {
            Comparison::Same => &mut counts.same,
            Comparison::OtherStructure => &mut counts.other_structure,
            Comparison::OtherContent => &mut counts.other_content,
            Comparison::GaveUp => &mut counts.gave_up,
            Comparison::NotMail => &mut counts.not_mail,
        } += 1;
    }
    eprintln!("{pack}: {counts:?}");
    Some(counts)
}

/// Those that differ: delimiters that follow each other or end the message, which mail-parser drops, boundaries that start with one
/// another, headers after an mbox line, and base64 with stray digits at the end.
#[test]
fn odd_mail_reads_much_as_mail_parser_reads_it() {
    if let Some(counts) = compare_all("mime-dev.tar.xz") {
        assert!(counts.same > 350, "{counts:?}");
        assert!(
            counts.other_structure + counts.other_content < 20,
            "{counts:?}"
        );
    }
}

/// Those that differ: blanks before a line end in quoted-printable, which mail-parser keeps, and stray digits after base64.
#[test]
fn usual_mail_reads_as_mail_parser_reads_it() {
    if let Some(counts) = compare_all("spamassassin-dev.tar.xz") {
        assert_eq!(counts.other_structure, 0, "{counts:?}");
        assert!(counts.other_content < 10, "{counts:?}");
    }
}
