//! SEARCH (RFC 3501 §6.4.4): what the index knows is looked at first, then headers, then bodies, and only while it matters.
//! Compares decoded text without case; keeps no index of its own.

use super::connection::End;
use super::fetch::blocking;
use super::selected::{Row, Selected};
use super::session::{Context, User};
use super::unreadable::Unreadable;
use crate::mail::mime::{Entity, Mime};
use crate::mail::{Content, Header};
use crate::proto::imap::{Ranges, Reply};
use crate::store::StoreError;
use imap_types::core::{Charset, Vec1};
use imap_types::search::SearchKey;
use imap_types::sequence::SequenceSet;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::io;
use std::sync::Arc;

/// Octets of text decoded at a time.
const CHUNK: usize = 64 * 1024;
/// Octets of text looked at in one part. Past that, what is there is not words.
const PART_MAX: u64 = 8 * 1024 * 1024;

/// A key with its numbers resolved and its text folded.
#[derive(Debug)]
enum Key {
    All(Vec<Key>),
    Any(Vec<Key>),
    Not(Box<Key>),
    Sequence(Ranges),
    Uid(Ranges),
    Flag(String),
    Recent,
    Smaller(u64),
    Larger(u64),
    /// Of INTERNALDATE: before the first, from the second on.
    Received(Option<Date>, Option<Date>),
    /// Of the Date field, in the same way.
    Sent(Option<Date>, Option<Date>),
    Header(String, String),
    /// Folded; with the header or without.
    Text {
        text: String,
        in_header: bool,
    },
}

pub(super) async fn search(
    context: &mut Context<'_>,
    user: &User,
    selected: &Selected,
    charset: Option<Charset<'static>>,
    criteria: Vec1<SearchKey<'static>>,
    by_uid: bool,
) -> Result<Reply, End> {
    if let Some(charset) = charset {
        let known = ["UTF-8", "US-ASCII"];
        if !known
            .iter()
            .any(|known| charset.as_ref().eq_ignore_ascii_case(known))
        {
            let reply = Reply::no("Of the charsets, UTF-8 and US-ASCII are known");
            return Ok(reply.code("BADCHARSET (UTF-8 US-ASCII)"));
        }
    }
    let keys: Option<Vec<Key>> = criteria
        .as_ref()
        .iter()
        .map(|key| resolve(key, selected))
        .collect();
    let Some(keys) = keys else {
        return Ok(Reply::bad("This server has not all of these search keys"));
    };
    let key = Arc::new(all(keys));
    let mut found = b"* SEARCH".to_vec();
    let mut unreadable = Unreadable::default();
    for (index, row) in selected.rows.iter().enumerate() {
        let number = index + 1;
        let matches = match by_index(&key, number, row) {
            Some(known) => known,
            // What cannot be read matches nothing, and hides nothing of the others.
            None => match looked_at(context, selected, &key, number, row).await {
                Ok(matches) => matches,
                Err(why) => {
                    unreadable.note(user, selected, row.uid, &why);
                    false
                }
            },
        };
        if matches {
            let number = if by_uid { row.uid as usize } else { number };
            found.extend_from_slice(format!(" {number}").as_bytes());
        }
    }
    found.extend_from_slice(b"\r\n");
    context.connection.write(&found);
    Ok(Reply::ok("SEARCH completed"))
}

/// Whether it matches. An error says why it could not be read.
async fn looked_at(
    context: &Context<'_>,
    selected: &Selected,
    key: &Arc<Key>,
    number: usize,
    row: &Row,
) -> Result<bool, String> {
    let content = match context.store().content(selected.id, row.uid).await {
        Ok(content) => content,
        Err(StoreError::NotFound(_)) => return Ok(false),
        Err(error) => return Err(error.to_string()),
    };
    let (key, row) = (Arc::clone(key), row.clone());
    blocking(move || by_content(&key, number, &row, content))
        .await
        .map_err(|error| error.to_string())
}

/// What costs least comes first.
fn all(mut keys: Vec<Key>) -> Key {
    keys.sort_by_key(cost);
    Key::All(keys)
}

fn cost(key: &Key) -> u8 {
    match key {
        Key::All(keys) | Key::Any(keys) => keys.iter().map(cost).max().unwrap_or(0),
        Key::Not(key) => cost(key),
        Key::Sent(..) | Key::Header(..) => 1,
        Key::Text { .. } => 2,
        _ => 0,
    }
}

/// `None` for a key of an extension that is not offered.
fn resolve(key: &SearchKey<'_>, selected: &Selected) -> Option<Key> {
    use SearchKey as S;
    let flag = |flag: &str| Some(Key::Flag(flag.to_owned()));
    let not = |key: Key| Some(Key::Not(Box::new(key)));
    let not_flag = |flag: &str| Some(Key::Not(Box::new(Key::Flag(flag.to_owned()))));
    let header = |name: &str, text: &imap_types::core::AString<'_>| {
        Some(Key::Header(name.to_owned(), folded(text.as_ref())))
    };
    let on = |date: Date| (date.tomorrow().ok(), Some(date));
    match key {
        S::And(keys) => {
            let keys = keys.as_ref().iter().map(|key| resolve(key, selected));
            Some(all(keys.collect::<Option<_>>()?))
        }
        S::Or(one, other) => {
            let mut keys = vec![resolve(one, selected)?, resolve(other, selected)?];
            keys.sort_by_key(cost);
            Some(Key::Any(keys))
        }
        S::Not(key) => not(resolve(key, selected)?),
        S::All => Some(Key::All(Vec::new())),
        S::SequenceSet(set) => Some(Key::Sequence(ranges(set, selected.rows.len()))),
        S::Uid(set) => Some(Key::Uid(ranges(set, selected.last_uid() as usize))),
        S::Answered => flag("\\Answered"),
        S::Deleted => flag("\\Deleted"),
        S::Draft => flag("\\Draft"),
        S::Flagged => flag("\\Flagged"),
        S::Seen => flag("\\Seen"),
        S::Keyword(keyword) => flag(keyword.as_ref()),
        S::Unanswered => not_flag("\\Answered"),
        S::Undeleted => not_flag("\\Deleted"),
        S::Undraft => not_flag("\\Draft"),
        S::Unflagged => not_flag("\\Flagged"),
        S::Unseen => not_flag("\\Seen"),
        S::Unkeyword(keyword) => not_flag(keyword.as_ref()),
        S::Recent => Some(Key::Recent),
        S::Old => not(Key::Recent),
        S::New => Some(Key::All(vec![Key::Recent, not_flag("\\Seen")?])),
        S::Smaller(size) => Some(Key::Smaller(u64::from(*size))),
        S::Larger(size) => Some(Key::Larger(u64::from(*size))),
        S::Before(day) => Some(Key::Received(Some(date(day)?), None)),
        S::Since(day) => Some(Key::Received(None, Some(date(day)?))),
        S::On(day) => {
            let (before, since) = on(date(day)?);
            Some(Key::Received(before, since))
        }
        S::SentBefore(day) => Some(Key::Sent(Some(date(day)?), None)),
        S::SentSince(day) => Some(Key::Sent(None, Some(date(day)?))),
        S::SentOn(day) => {
            let (before, since) = on(date(day)?);
            Some(Key::Sent(before, since))
        }
        S::Bcc(text) => header("Bcc", text),
        S::Cc(text) => header("Cc", text),
        S::From(text) => header("From", text),
        S::Subject(text) => header("Subject", text),
        S::To(text) => header("To", text),
        S::Header(name, text) => header(&String::from_utf8_lossy(name.as_ref()), text),
        S::Body(text) => Some(Key::Text {
            text: folded(text.as_ref()),
            in_header: false,
        }),
        S::Text(text) => Some(Key::Text {
            text: folded(text.as_ref()),
            in_header: true,
        }),
        S::ModSequence { .. } => None,
    }
}

fn ranges(set: &SequenceSet, last: usize) -> Ranges {
    Ranges::new(set, u32::try_from(last).unwrap_or(u32::MAX))
}

fn date(date: &imap_types::datetime::NaiveDate) -> Option<Date> {
    date.as_ref().to_string().parse().ok()
}

/// For comparison without case.
fn folded(text: &[u8]) -> String {
    String::from_utf8_lossy(text).to_lowercase()
}

fn within(date: Date, before: Option<Date>, since: Option<Date>) -> bool {
    before.is_none_or(|before| date < before) && since.is_none_or(|since| date >= since)
}

/// `None` if the message has to be looked at.
fn by_index(key: &Key, number: usize, row: &Row) -> Option<bool> {
    match key {
        Key::All(keys) => {
            let mut unknown = false;
            for key in keys {
                match by_index(key, number, row) {
                    Some(false) => return Some(false),
                    Some(true) => {}
                    None => unknown = true,
                }
            }
            (!unknown).then_some(true)
        }
        Key::Any(keys) => {
            let mut unknown = false;
            for key in keys {
                match by_index(key, number, row) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => unknown = true,
                }
            }
            (!unknown).then_some(false)
        }
        Key::Not(key) => by_index(key, number, row).map(|matches| !matches),
        Key::Sequence(ranges) => {
            Some(u32::try_from(number).is_ok_and(|number| ranges.contains(number)))
        }
        Key::Uid(ranges) => Some(ranges.contains(row.uid)),
        Key::Flag(flag) => Some(row.has(flag)),
        Key::Recent => Some(row.recent),
        Key::Smaller(size) => Some(row.size < *size),
        Key::Larger(size) => Some(row.size > *size),
        Key::Received(before, since) => {
            let date = TimeZone::UTC.to_datetime(row.internal_date).date();
            Some(within(date, *before, *since))
        }
        Key::Sent(..) | Key::Header(..) | Key::Text { .. } => None,
    }
}

/// A message that is searched, read as far as keys need it.
struct Message {
    content: Content,
    header: Header,
    mime: Option<Mime>,
}

fn by_content(key: &Key, number: usize, row: &Row, content: Content) -> io::Result<bool> {
    let mut message = Message {
        header: Header::read(&content)?,
        content,
        mime: None,
    };
    message.matches(key, number, row)
}

impl Message {
    fn matches(&mut self, key: &Key, number: usize, row: &Row) -> io::Result<bool> {
        Ok(match key {
            Key::All(keys) => {
                for key in keys {
                    if !self.matches(key, number, row)? {
                        return Ok(false);
                    }
                }
                true
            }
            Key::Any(keys) => {
                for key in keys {
                    if self.matches(key, number, row)? {
                        return Ok(true);
                    }
                }
                false
            }
            Key::Not(key) => !self.matches(key, number, row)?,
            Key::Sent(before, since) => {
                sent(&self.header).is_some_and(|date| within(date, *before, *since))
            }
            Key::Header(name, text) => self
                .header
                .get(name)
                .any(|field| field.text().to_lowercase().contains(text)),
            Key::Text { text, in_header } => {
                (*in_header && header_has(&self.header, text)) || self.body_has(text)?
            }
            other => by_index(other, number, row).unwrap_or(false),
        })
    }

    fn body_has(&mut self, text: &str) -> io::Result<bool> {
        let mime = match &mut self.mime {
            Some(mime) => mime,
            none => none.insert(Mime::new(self.content.clone())?),
        };
        leaves_have(mime, &self.content, &mime.leaves(), text)
    }
}

/// Any of these parts, or what is inside an attached message.
fn leaves_have(
    mime: &Mime,
    content: &Content,
    leaves: &[(String, &Entity)],
    text: &str,
) -> io::Result<bool> {
    for (path, leaf) in leaves {
        let matches = match leaf.message() {
            Some(message) => {
                let length = (message.header.end - message.header.start).min(Header::MAX as u64);
                let header = content.read(message.header.start, length as usize)?;
                let inside: Vec<(String, &Entity)> = message
                    .leaves()
                    .into_iter()
                    .map(|(inner, leaf)| (format!("{path}.{inner}"), leaf))
                    .collect();
                header_has(&Header::parse(&header), text)
                    || leaves_have(mime, content, &inside, text)?
            }
            None if leaf.media_type == "text" => part_has(mime, path, text)?,
            None => false,
        };
        if matches {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The decoded text, piece after piece; each begins with the end of the one before, for what lies across.
fn part_has(mime: &Mime, path: &str, text: &str) -> io::Result<bool> {
    let mut offset = 0;
    let mut window = String::new();
    while offset < PART_MAX {
        let piece = mime.text(path, offset, CHUNK).map_err(io::Error::other)?;
        if piece.is_empty() {
            break;
        }
        offset += piece.len() as u64;
        window.push_str(&piece.to_lowercase());
        if window.contains(text) {
            return Ok(true);
        }
        let mut keep = window.len().saturating_sub(text.len());
        while !window.is_char_boundary(keep) {
            keep -= 1;
        }
        window.drain(..keep);
    }
    Ok(text.is_empty())
}

fn header_has(header: &Header, text: &str) -> bool {
    header.fields().iter().any(|field| {
        let whole = format!("{}: {}", field.name(), field.text());
        whole.to_lowercase().contains(text)
    })
}

/// The day of the Date field as it is written there, whatever its time zone (RFC 3501 §6.4.4 SENTON).
fn sent(header: &Header) -> Option<Date> {
    let field = header.get("Date").next()?;
    let value = format!("{}\r\n", String::from_utf8_lossy(field.value()));
    let at = mail_parser::DateTime::parse_rfc822(&value)?;
    Date::new(
        i16::try_from(at.year).ok()?,
        i8::try_from(at.month).ok()?,
        i8::try_from(at.day).ok()?,
    )
    .ok()
}
