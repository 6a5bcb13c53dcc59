//! Whether a message can go by a transaction in which something was left unsaid of it.

use crate::mail::{Content, Reply};
use crate::proto::smtp::client::Unsaid;
use std::io;

/// Octets that are looked at at a time.
const PIECE: usize = 64 * 1024;

/// Why it cannot.
pub(super) fn refusal(unsaid: Unsaid, content: &Content) -> io::Result<Option<Reply>> {
    if unsaid.is_nothing() {
        return Ok(None);
    }
    let (mut offset, mut scan) = (0, Scan::default());
    while offset < content.len() {
        let octets = content.read(offset, PIECE)?;
        offset += octets.len() as u64;
        scan.push(&octets);
        let refusal = unsaid.refusal(scan.header, scan.body);
        if refusal.is_some() {
            return Ok(refusal);
        }
    }
    Ok(None)
}

/// Where there are octets outside ASCII.
#[derive(Default)]
struct Scan {
    header: bool,
    body: bool,
    /// The empty line that ends the header was there.
    in_body: bool,
    /// Octets of the line so far, but for CR.
    line: usize,
}

impl Scan {
    fn push(&mut self, octets: &[u8]) {
        let mut rest = octets.iter();
        while !self.in_body {
            match rest.next() {
                None => return,
                Some(b'\n') => {
                    self.in_body = self.line == 0;
                    self.line = 0;
                }
                Some(b'\r') => {}
                Some(octet) => {
                    self.line += 1;
                    self.header |= !octet.is_ascii();
                }
            }
        }
        self.body |= !rest.as_slice().is_ascii();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_body_are_told_apart_however_they_are_cut() {
        for (message, header, body) in [
            ("", false, false),
            ("Subject: x\r\n\r\nx\r\n\r\n", false, false),
            ("Subject: \u{fc}\r\n\r\nx", true, false),
            ("Subject: x\r\n\r\n\u{fc}", false, true),
            ("Subject: x\n\n\u{fc}", false, true),
            ("\r\n\u{fc}", false, true),
            ("Subject: \u{fc}", true, false),
        ] {
            let octets = message.as_bytes();
            for cut in 0..=octets.len() {
                let (first, second) = octets.split_at(cut);
                let mut scan = Scan::default();
                scan.push(first);
                scan.push(second);
                assert_eq!(
                    (scan.header, scan.body),
                    (header, body),
                    "{message:?} {cut}"
                );
            }
        }
    }
}
