//! Rules on attachments: by name, by their first octets, and by whether the two agree.
//! Unpacks nothing: of an archive it reads the names of the first entries, as they stand.

use crate::engine::{Body, Engine, Findings, listed};
use crate::message::{Message, Part};
use crate::rules::Rule;
use crate::text::quote;

pub(crate) fn apply(
    engine: &Engine,
    message: &Message,
    body: &Body<'_>,
    findings: &mut Findings<'_>,
) {
    let lists = &engine.lists;
    let mut given = Given::default();
    for part in message.parts.iter().filter(|part| part.text.is_none()) {
        let name = part.name.as_deref().unwrap_or_default().trim();
        let shown = || quote(name);
        let extension = extension(name);
        let program = listed(&lists.programs, extension) || is_program(&part.start);
        if program && given.first(Rule::AttachedProgram) {
            findings.because(
                Rule::AttachedProgram,
                format!("a program is attached: {}", shown()),
            );
        }
        let before = name
            .rsplit_once('.')
            .map_or("", |(stem, _)| self::extension(stem.trim_end()));
        if program && listed(&lists.documents, before) && given.first(Rule::AttachedDoubleExtension)
        {
            findings.because(
                Rule::AttachedDoubleExtension,
                format!(
                    "a program is attached that looks like a document: {}",
                    shown()
                ),
            );
        }
        if listed(&lists.macros, extension) && given.first(Rule::AttachedMacros) {
            findings.because(
                Rule::AttachedMacros,
                format!("a document with macros is attached: {}", shown()),
            );
        }
        let zip = part.start.starts_with(b"PK\x03\x04");
        if let Some(entry) = zip
            .then(|| {
                program_in_zip(&part.start, |name| {
                    listed(&lists.programs, self::extension(name))
                })
            })
            .flatten()
            && !program
            && given.first(Rule::AttachedProgramInArchive)
        {
            findings.because(
                Rule::AttachedProgramInArchive,
                format!("{} holds a program: {}", shown(), quote(&entry)),
            );
        }
        let archive = zip || listed(&lists.archives, extension);
        // Bit 0 of the general purpose flag of the first entry (APPNOTE 4.4.4).
        let locked = zip && part.start.get(6).is_some_and(|flags| flags & 1 == 1);
        if locked && given.first(Rule::AttachedLockedArchive) {
            findings.because(
                Rule::AttachedLockedArchive,
                format!("an encrypted archive is attached: {}", shown()),
            );
        }
        if archive && body.archive_password && given.first(Rule::AttachedWithPassword) {
            findings.give(Rule::AttachedWithPassword);
        }
        if !program
            && let Some(is) = mislabelled(part, extension)
            && given.first(Rule::AttachedMislabelled)
        {
            findings.because(
                Rule::AttachedMislabelled,
                format!(
                    "{} is labelled {} and is {is}",
                    shown(),
                    quote(&part.media_type)
                ),
            );
        }
        let page = matches!(
            extension.to_ascii_lowercase().as_str(),
            "htm" | "html" | "shtml" | "xhtml" | "svg"
        );
        if page && part.attachment && given.first(Rule::AttachedHtml) {
            findings.because(
                Rule::AttachedHtml,
                format!("a web page is attached: {}", shown()),
            );
        }
    }
}

/// Each rule once for a message.
#[derive(Default)]
struct Given(Vec<Rule>);

impl Given {
    fn first(&mut self, rule: Rule) -> bool {
        let first = !self.0.contains(&rule);
        if first {
            self.0.push(rule);
        }
        first
    }
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.')
        .map_or("", |(_, extension)| extension.trim_end())
}

/// Programs of Windows and Linux.
fn is_program(start: &[u8]) -> bool {
    start.starts_with(b"MZ") || start.starts_with(b"\x7fELF")
}

/// The first entry of a ZIP that is a program, as far as its local headers stand in `start` (APPNOTE 4.3.7).
fn program_in_zip(start: &[u8], is_program: impl Fn(&str) -> bool) -> Option<String> {
    let number = |at: usize, octets: usize| -> Option<usize> {
        let bytes = start.get(at..at + octets)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
        )
    };
    let mut at = 0;
    while start.get(at..at + 4) == Some(b"PK\x03\x04") {
        let (packed, name, extra) = (
            number(at + 18, 4)?,
            number(at + 26, 2)?,
            number(at + 28, 2)?,
        );
        let entry = String::from_utf8_lossy(start.get(at + 30..at + 30 + name)?);
        if is_program(&entry) {
            return Some(entry.into_owned());
        }
        at = at.checked_add(30 + name + extra)?.checked_add(packed)?;
    }
    None
}

/// What an attachment is, if it is clearly not what its label says.
fn mislabelled(part: &Part, extension: &str) -> Option<&'static str> {
    const MAGIC: [(&[u8], &str); 7] = [
        (b"%PDF-", "a PDF"),
        (b"\x89PNG", "a picture"),
        (b"GIF8", "a picture"),
        (b"\xff\xd8\xff", "a picture"),
        (b"PK\x03\x04", "an archive"),
        (b"Rar!", "an archive"),
        (b"\xd0\xcf\x11\xe0", "an Office document"),
    ];
    let is = MAGIC
        .iter()
        .find(|(magic, _)| part.start.starts_with(magic))
        .map(|(_, is)| *is);
    let claims = match part.media_type.as_str() {
        "application/pdf" => "a PDF",
        "image/png" | "image/gif" | "image/jpeg" | "image/jpg" => "a picture",
        _ if extension.eq_ignore_ascii_case("pdf") => "a PDF",
        _ => return None,
    };
    // What is not known may be a broken file: only a clear contradiction counts.
    is.filter(|is| *is != claims)
}
