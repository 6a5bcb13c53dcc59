//! A message as it goes over the wire behind DATA: dots doubled, lines ended by CRLF and by nothing else (RFC 5321 §4.5.2, §2.3.8).
//! Knows nothing of BDAT, behind which a message goes as it is.

use memchr::memchr2;

/// What the octets before leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum After {
    #[default]
    LineEnd,
    Cr,
    Text,
}

/// A CR or LF alone, which another server might take for a line end and its own idea of what follows, becomes a CRLF.
#[derive(Debug, Default)]
pub(super) struct Stuffing(After);

impl Stuffing {
    pub fn push(&mut self, mut octets: &[u8], out: &mut Vec<u8>) {
        while let Some(&first) = octets.first() {
            if self.0 == After::Cr {
                self.0 = After::LineEnd;
                if first == b'\n' {
                    octets = octets.get(1..).unwrap_or_default();
                    continue;
                }
            }
            if self.0 == After::LineEnd && first == b'.' {
                out.push(b'.');
            }
            let end = memchr2(b'\r', b'\n', octets);
            let (line, rest) = octets.split_at(end.unwrap_or(octets.len()));
            out.extend_from_slice(line);
            self.0 = After::Text;
            octets = rest;
            if let Some((ends, rest)) = octets.split_first() {
                out.extend_from_slice(b"\r\n");
                self.0 = match ends {
                    b'\r' => After::Cr,
                    _ => After::LineEnd,
                };
                octets = rest;
            }
        }
    }

    /// The end of the message.
    pub fn end(self, out: &mut Vec<u8>) {
        if self.0 == After::Text {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}
