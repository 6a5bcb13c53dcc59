//! Replies out of octets as they come (RFC 5321 §4.2), bounded: what is at the other end may lie.
//! Does not know which command a reply is to.

use super::Fault;
use crate::mail::{EnhancedCode, Line, Reply};
use memchr::memchr;

/// Octets of a line with its end. RFC 5321 §4.5.3.1.5 says 512; many send longer ones.
pub(super) const LINE_MAX: usize = 4096;
/// Lines of one reply. No server has as many extensions.
pub(super) const LINES_MAX: usize = 128;

/// Holds at most one reply.
#[derive(Debug, Default)]
pub(super) struct Reader {
    partial: Vec<u8>,
    code: Option<u16>,
    lines: Vec<String>,
}

impl Reader {
    /// How many octets were used, and the reply if it is there in full.
    pub fn next(&mut self, input: &[u8]) -> (usize, Result<Option<Reply>, Fault>) {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let Some(at) = memchr(b'\n', rest) else {
                if self.partial.len() + rest.len() >= LINE_MAX {
                    return (input.len(), Err(Fault::LongLine));
                }
                self.partial.extend_from_slice(rest);
                return (input.len(), Ok(None));
            };
            let (head, _) = rest.split_at(at);
            used += at + 1;
            if self.partial.len() + head.len() >= LINE_MAX {
                return (used, Err(Fault::LongLine));
            }
            self.partial.extend_from_slice(head);
            let line = std::mem::take(&mut self.partial);
            match self.line(&line) {
                Ok(None) => {}
                done => return (used, done),
            }
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, Fault> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = String::from_utf8_lossy(line);
        let not_a_reply = || Fault::NotAReply(line.chars().take(80).collect());
        let (digits, rest) = line.split_at_checked(3).ok_or_else(not_a_reply)?;
        let code = match digits.bytes().all(|octet| octet.is_ascii_digit()) {
            true => digits.parse::<u16>().map_err(|_| not_a_reply())?,
            false => return Err(not_a_reply()),
        };
        if !(200..600).contains(&code) {
            return Err(not_a_reply());
        }
        let (is_last, text) = match rest.split_at_checked(1) {
            None => (true, ""),
            Some((" ", text)) => (true, text),
            Some(("-", text)) => (false, text),
            Some(_) => return Err(not_a_reply()),
        };
        if *self.code.get_or_insert(code) != code {
            return Err(Fault::MixedCodes);
        }
        if self.lines.len() >= LINES_MAX {
            return Err(Fault::LongReply);
        }
        self.lines.push(text.to_owned());
        if !is_last {
            return Ok(None);
        }
        self.code = None;
        Ok(Some(reply(code, std::mem::take(&mut self.lines))))
    }
}

/// The enhanced code stands on all lines alike (RFC 2034 §3), or the lines are kept as they are.
fn reply(code: u16, lines: Vec<String>) -> Reply {
    let split: Option<Vec<_>> = lines.iter().map(|line| enhanced(code, line)).collect();
    let first = split
        .as_deref()
        .and_then(<[_]>::first)
        .map(|(code, _)| *code);
    match (split, first) {
        (Some(split), Some(first)) if split.iter().all(|(code, _)| *code == first) => Reply {
            code,
            enhanced: Some(first),
            lines: split.iter().map(|(_, text)| Line::lossy(text)).collect(),
            limit: None,
        },
        _ => Reply {
            code,
            enhanced: None,
            lines: lines.iter().map(|line| Line::lossy(line)).collect(),
            limit: None,
        },
    }
}

/// RFC 3463 §2: class "." subject "." detail; the class is that of the code.
fn enhanced(code: u16, line: &str) -> Option<(EnhancedCode, &str)> {
    let (word, text) = line.split_once(' ').unwrap_or((line, ""));
    let mut numbers = word.split('.');
    let mut number = || {
        let digits = numbers.next()?;
        let fine = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        // As it would be written: no leading zeros.
        let value = digits.parse::<u16>().ok().filter(|_| fine)?;
        (value.to_string() == digits).then_some(value)
    };
    let (class, subject, detail) = (number()?, number()?, number()?);
    if numbers.next().is_some() || class != code / 100 {
        return None;
    }
    let class = u8::try_from(class).ok()?;
    Some((EnhancedCode(class, subject, detail), text))
}
