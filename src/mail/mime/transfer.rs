//! Decodes transfer encodings piece by piece (RFC 2045 §6), leniently: what is not valid is left out or stands as it is.
//! Knows nothing of charsets.

use super::TransferEncoding;
use memchr::memchr3;

/// The most blanks held back until it is known whether they end a line; RFC 5322 §2.1.1 allows no longer line.
const MAX_BLANKS: usize = 998;

/// Takes a body in pieces of any size; what comes out does not depend on where they were cut.
#[derive(Debug)]
pub(super) enum Transfer {
    Identity,
    Base64(Base64),
    QuotedPrintable(QuotedPrintable),
}

impl Transfer {
    pub fn new(encoding: TransferEncoding) -> Self {
        match encoding {
            TransferEncoding::Identity => Self::Identity,
            TransferEncoding::Base64 => Self::Base64(Base64::default()),
            TransferEncoding::QuotedPrintable => Self::QuotedPrintable(QuotedPrintable::default()),
        }
    }

    /// Appends to `out` what `octets` decode to, as far as it is known.
    pub fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Identity => out.extend_from_slice(octets),
            Self::Base64(decoder) => decoder.push(octets, out),
            Self::QuotedPrintable(decoder) => decoder.push(octets, out),
        }
    }

    /// Appends what was held back: the body is over.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Identity => {}
            Self::Base64(decoder) => decoder.flush(out),
            Self::QuotedPrintable(decoder) => decoder.finish(out),
        }
    }
}

/// RFC 2045 §6.8. Octets outside of the alphabet are skipped; padding ends a group, after which more may follow.
#[derive(Debug, Default)]
pub(super) struct Base64 {
    bits: u32,
    /// Characters in `bits`.
    held: u8,
}

/// The value of each octet as a base64 digit; `NONE` for those that are not.
const DIGITS: [u8; 256] = digits();
const NONE: u8 = 0xff;
const PADDING: u8 = 0xfe;

const fn digits() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digits = [NONE; 256];
    let mut value = 0;
    #[allow(clippy::indexing_slicing)] // evaluated by the compiler
    while value < alphabet.len() {
        digits[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    #[allow(clippy::indexing_slicing)]
    {
        digits[b'=' as usize] = PADDING;
    }
    digits
}

impl Base64 {
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        out.reserve(octets.len() / 4 * 3 + 3);
        for octet in octets {
            match DIGITS.get(usize::from(*octet)).copied().unwrap_or(NONE) {
                NONE => {}
                PADDING => self.flush(out),
                digit => {
                    self.bits = (self.bits << 6) | u32::from(digit);
                    self.held += 1;
                    if self.held == 4 {
                        let [_, a, b, c] = self.bits.to_be_bytes();
                        out.extend_from_slice(&[a, b, c]);
                        self.held = 0;
                    }
                }
            }
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        match self.held {
            2 => out.push((self.bits >> 4) as u8),
            3 => out.extend_from_slice(&((self.bits >> 2) as u16).to_be_bytes()),
            _ => {}
        }
        self.held = 0;
    }
}

/// All of it at once.
pub(in crate::mail) fn decode_base64(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut decoder = Base64::default();
    decoder.push(octets, &mut out);
    decoder.flush(&mut out);
    out
}

/// RFC 2045 §6.7.
#[derive(Debug, Default)]
pub(super) struct QuotedPrintable {
    state: Quoted,
    /// Blanks that are dropped if the line ends after them (rule 3).
    blanks: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Quoted {
    #[default]
    Text,
    /// After `=`.
    Equals,
    /// After `=` and a digit.
    Digit(u8),
    /// After `=` and blanks, or a CR: a soft line break, if LF comes.
    SoftBreak { cr: bool },
}

impl QuotedPrintable {
    fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        out.reserve(octets.len());
        let mut rest = octets;
        while !rest.is_empty() {
            if let Quoted::Text = self.state {
                // All but the blanks at its end is known to stand as it is.
                let end = memchr3(b'=', b'\r', b'\n', rest).unwrap_or(rest.len());
                let (run, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
                let blanks = run.iter().rev().take_while(|octet| is_blank(**octet));
                let kept = run.len() - blanks.count();
                let (kept, blanks) = run.split_at_checked(kept).unwrap_or((run, &[]));
                if !kept.is_empty() {
                    out.append(&mut self.blanks);
                    out.extend_from_slice(kept);
                }
                for blank in blanks {
                    self.text(*blank, out);
                }
                rest = after;
            }
            if let Some((octet, after)) = rest.split_first() {
                self.octet(*octet, out);
                rest = after;
            }
        }
    }

    fn octet(&mut self, octet: u8, out: &mut Vec<u8>) {
        match (self.state, octet) {
            (Quoted::Text, _) => self.text(octet, out),
            (Quoted::Equals, _) if octet.is_ascii_hexdigit() => self.state = Quoted::Digit(octet),
            (Quoted::Digit(high), _) if octet.is_ascii_hexdigit() => {
                self.state = Quoted::Text;
                out.push(hex(high) << 4 | hex(octet));
            }
            (Quoted::Equals | Quoted::SoftBreak { .. }, b'\n') => {
                self.state = Quoted::Text;
                self.blanks.clear();
            }
            (Quoted::Equals | Quoted::SoftBreak { cr: false }, b'\r') => {
                self.state = Quoted::SoftBreak { cr: true };
            }
            (Quoted::Equals | Quoted::SoftBreak { cr: false }, b' ' | b'\t')
                if self.blanks.len() < MAX_BLANKS =>
            {
                self.state = Quoted::SoftBreak { cr: false };
                self.blanks.push(octet);
            }
            _ => {
                self.give_up(out);
                self.octet(octet, out);
            }
        }
    }

    fn text(&mut self, octet: u8, out: &mut Vec<u8>) {
        match octet {
            b' ' | b'\t' => {
                if self.blanks.len() >= MAX_BLANKS {
                    out.append(&mut self.blanks);
                }
                self.blanks.push(octet);
            }
            // The CR of a CRLF, in all likelihood; where it is not, blanks are lost that meant nothing.
            b'\r' | b'\n' => {
                self.blanks.clear();
                out.push(octet);
            }
            _ => {
                out.append(&mut self.blanks);
                match octet {
                    b'=' => self.state = Quoted::Equals,
                    _ => out.push(octet),
                }
            }
        }
    }

    /// What followed the `=` makes no sense: it stands as it is (rule "robust implementation" after §6.7 (5)).
    fn give_up(&mut self, out: &mut Vec<u8>) {
        out.push(b'=');
        match std::mem::take(&mut self.state) {
            Quoted::Digit(digit) => out.push(digit),
            Quoted::SoftBreak { cr } => {
                out.append(&mut self.blanks);
                out.extend(cr.then_some(b'\r'));
            }
            Quoted::Text | Quoted::Equals => {}
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        match self.state {
            // Blanks at the end of the body are at the end of a line; a soft line break there has nothing to join.
            Quoted::Text | Quoted::Equals | Quoted::SoftBreak { .. } => {}
            Quoted::Digit(_) => self.give_up(out),
        }
        self.blanks.clear();
        self.state = Quoted::Text;
    }
}

fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use proptest::prelude::*;

    /// Decodes in pieces of this many octets.
    fn decode(encoding: TransferEncoding, octets: &[u8], piece: usize) -> Vec<u8> {
        let mut transfer = Transfer::new(encoding);
        let mut out = Vec::new();
        for piece in octets.chunks(piece) {
            transfer.push(piece, &mut out);
        }
        transfer.finish(&mut out);
        out
    }

    fn table(encoding: TransferEncoding, table: &[(&str, &str)]) {
        for (encoded, plain) in table {
            for piece in 1..encoded.len().max(2) {
                let decoded = decode(encoding, encoded.as_bytes(), piece);
                assert_eq!(decoded, plain.as_bytes(), "{encoded:?} by {piece}");
            }
        }
    }

    #[test]
    fn base64() {
        table(
            TransferEncoding::Base64,
            &[
                ("", ""),
                ("aGFsbG8=", "hallo"),
                ("aGFs\r\nbG8=\r\n", "hallo"),
                ("aGFsbG8", "hallo"),
                ("aGFsbA==aGFsbG8=", "hallhallo"),
                ("aGFs!bG8=", "hallo"),
                ("=", ""),
                ("a", ""),
            ],
        );
    }

    #[test]
    fn quoted_printable() {
        table(
            TransferEncoding::QuotedPrintable,
            &[
                ("", ""),
                ("Gr=C3=BC=c3=9fe", "Grüße"),
                ("a =\r\nb", "a b"),
                ("a=\nb", "ab"),
                ("a= \t\r\nb", "ab"),
                ("a \t\r\nb ", "a\r\nb"),
                ("a =20\r\n", "a  \r\n"),
                ("1=1, =zz =4", "1=1, =zz =4"),
                ("a= b=\rc", "a= b=\rc"),
                ("==3D=", "=="),
                ("end=", "end"),
            ],
        );
    }

    #[test]
    fn blanks_without_end_are_not_hoarded() {
        let blanks = " ".repeat(5000);
        let decoded = decode(TransferEncoding::QuotedPrintable, blanks.as_bytes(), 100);
        assert!(decoded.len() > 3000);
        let soft = format!("={blanks}x");
        let decoded = decode(TransferEncoding::QuotedPrintable, soft.as_bytes(), 7);
        assert_eq!(decoded, soft.as_bytes());
    }

    proptest! {
        #[test]
        fn base64_reads_back(octets: Vec<u8>, piece in 1usize..20) {
            let encoded = base64::engine::general_purpose::STANDARD.encode(&octets);
            prop_assert_eq!(decode(TransferEncoding::Base64, encoded.as_bytes(), piece), octets);
        }

        #[test]
        fn quoted_printable_reads_back(octets: Vec<u8>, soft in 1usize..20, piece in 1usize..20) {
            let mut encoded = String::new();
            for (at, octet) in octets.iter().enumerate() {
                encoded.push_str(&format!("={octet:02X}"));
                if at % soft == 0 {
                    encoded.push_str("=\r\n");
                }
            }
            prop_assert_eq!(decode(TransferEncoding::QuotedPrintable, encoded.as_bytes(), piece), octets);
        }

        #[test]
        fn pieces_make_no_difference(octets in "[=0-9A-F \t\r\nxyz]{0,60}", piece in 1usize..9) {
            for encoding in [TransferEncoding::Base64, TransferEncoding::QuotedPrintable, TransferEncoding::Identity] {
                let whole = decode(encoding, octets.as_bytes(), usize::MAX);
                prop_assert_eq!(decode(encoding, octets.as_bytes(), piece), whole);
            }
        }
    }
}
