//! Decodes text from its charset to UTF-8 piece by piece.
//! Knows nothing of transfer encodings; what a charset can't say becomes U+FFFD.

use encoding_rs::{
    BIG5, Decoder, EUC_JP, EUC_KR, Encoding, GB18030, GBK, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE,
};
use mail_parser::decoders::charsets::{DecoderFnc, map::charset_decoder};
use memchr::memrchr;

/// The longest line of UTF-7 that is waited for.
const MAX_LINE: usize = 64 * 1024;

/// Takes text in pieces of any size.
pub(in crate::mail) enum Charset {
    Streamed(Box<Decoder>),
    /// One octet is one character.
    PerOctet(DecoderFnc),
    /// RFC 2152: shifted sequences end with the line at the latest.
    Utf7 {
        decode: DecoderFnc,
        line: Vec<u8>,
    },
}

impl Charset {
    /// UTF-8 where the charset is not given or not known: it shows what is wrong, and ASCII as it is.
    pub fn new(name: Option<&str>) -> Self {
        let name = name.unwrap_or("utf-8").trim();
        if let Some(encoding) = encoding(name) {
            return Self::Streamed(Box::new(match encoding {
                // Its byte order mark says more than its name.
                e if e == UTF_16LE || e == UTF_16BE => encoding.new_decoder(),
                _ => encoding.new_decoder_with_bom_removal(),
            }));
        }
        match charset_decoder(name.as_bytes()) {
            Some(decode) if is_utf7(name) => Self::Utf7 {
                decode,
                line: Vec::new(),
            },
            Some(decode) => Self::PerOctet(decode),
            None => Self::Streamed(Box::new(UTF_8.new_decoder_with_bom_removal())),
        }
    }

    /// Whether ASCII octets say in it what they say in ASCII. Of the charsets of most mail only.
    pub fn has_ascii(name: Option<&str>) -> bool {
        let Some(name) = name else { return true };
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let of = |family: &str| {
            let start = name.get(..family.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(family))
        };
        is("us-ascii") || is("utf-8") || of("iso-8859-") || of("windows-125")
    }

    /// Appends to `out` what `octets` say; with `last`, what was held back too.
    pub fn push(&mut self, octets: &[u8], last: bool, out: &mut String) {
        match self {
            Self::Streamed(decoder) => {
                let most = decoder.max_utf8_buffer_length(octets.len());
                out.reserve(most.unwrap_or_default());
                // With that much room it takes all octets at once.
                let _ = decoder.decode_to_string(octets, out, last);
            }
            Self::PerOctet(decode) => out.push_str(&decode(octets)),
            Self::Utf7 { decode, line } => {
                line.extend_from_slice(octets);
                let complete = match memrchr(b'\n', line) {
                    _ if last || line.len() > MAX_LINE => line.len(),
                    Some(at) => at + 1,
                    None => return,
                };
                let rest = line.split_off(complete);
                for line in line.split_inclusive(|byte| *byte == b'\n') {
                    utf7_line(*decode, line, out);
                }
                *line = rest;
            }
        }
    }
}

/// The encodings that web browsers know by this name, and further names of those in which a character can have several octets: what
/// is left to mail-parser but for UTF-7 has one octet a character.
fn encoding(name: &str) -> Option<&'static Encoding> {
    let name = name.to_ascii_lowercase();
    let with_dashes = name.replace('_', "-");
    Encoding::for_label(name.as_bytes())
        .or_else(|| Encoding::for_label(with_dashes.as_bytes()))
        .or(match with_dashes.as_str() {
            "cp932" => Some(SHIFT_JIS),
            "extended-unix-code-packed-format-for-japanese" => Some(EUC_JP),
            "cp936" | "csgbk" | "euc-cn" | "gb-2312-80" | "ms936" | "windows-936" => Some(GBK),
            "csgb18030" => Some(GB18030),
            "cp949" | "ks-c-5601-1987" | "ks-c-5601-1989" | "ms949" | "uhc" => Some(EUC_KR),
            "cp950" => Some(BIG5),
            "csutf16" | "csutf16le" => Some(UTF_16LE),
            "csutf16be" => Some(UTF_16BE),
            _ => None,
        })
}

fn is_utf7(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("utf-7") || name.ends_with("utf_7") || name.ends_with("utf7")
}

/// mail-parser drops what ends a shifted sequence, as it must with `-`, and a sequence that nothing ends: so each is given its `-`.
fn utf7_line(decode: DecoderFnc, line: &[u8], out: &mut String) {
    let text = line.trim_ascii_end();
    let end = line.get(text.len()..).unwrap_or_default();
    let shifted = text
        .iter()
        .rposition(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'/'))
        .map_or(text, |at| text.get(at + 1..).unwrap_or_default())
        .contains(&b'+');
    if shifted {
        let mut text = text.to_vec();
        text.push(b'-');
        out.push_str(&decode(&text));
    } else {
        out.push_str(&decode(text));
    }
    out.push_str(&String::from_utf8_lossy(end));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(charset: Option<&str>, octets: &[u8], piece: usize) -> String {
        let mut charset = Charset::new(charset);
        let mut out = String::new();
        for piece in octets.chunks(piece) {
            charset.push(piece, false, &mut out);
        }
        charset.push(&[], true, &mut out);
        out
    }

    #[test]
    fn charsets_of_mail() {
        let table: &[(Option<&str>, &[u8], &str)] = &[
            (None, "Grüße".as_bytes(), "Grüße"),
            (None, b"\xef\xbb\xbfBOM", "BOM"),
            (None, b"a\xffb", "a\u{fffd}b"),
            (Some("x-nobody-knows"), "ж".as_bytes(), "ж"),
            (Some("US-ASCII"), b"plain", "plain"),
            (Some("iso-8859-1"), b"Gr\xfc\xdfe \x80", "Grüße €"),
            (Some("KOI8-R"), b"\xf0\xd2\xc9", "При"),
            (Some("ibm850"), b"\x9b\x9c", "ø£"),
            (Some("shift_jis"), b"\x83n\x83\x8d", "ハロ"),
            (Some("iso-2022-jp"), b"\x1b$B%O%m!<\x1b(B ok", "ハロー ok"),
            (Some("gb2312"), b"\xc4\xe3\xba\xc3", "你好"),
            (Some("big5"), b"\xa7A\xa6n", "你好"),
            (Some("utf-16le"), b"a\0\xe4\0", "aä"),
            (Some("utf-7"), b"Hi +Jjo-\r\n+AOQ", "Hi ☺\r\nä"),
            (Some("utf-16"), b"\xfe\xff\0a\0\xe4", "aä"),
            (Some("csUTF16BE"), b"\0a\0\xe4", "aä"),
            (Some("utf_8"), "1+ä".as_bytes(), "1+ä"),
            (Some("CP936"), b"\xc4\xe3\xba\xc3", "你好"),
            (Some("ks_c_5601_1987"), b"\xbe\xc8", "안"),
        ];
        for (charset, octets, text) in table {
            for piece in 1..9 {
                assert_eq!(
                    decode(*charset, octets, piece),
                    *text,
                    "{charset:?} by {piece}"
                );
            }
        }
    }

    #[test]
    fn ascii_stays_as_it_is_where_that_is_said() {
        let ascii: Vec<u8> = (0..128).collect();
        for charset in [
            "us-ascii",
            "UTF-8",
            "iso-8859-1",
            "ISO-8859-15",
            "iso-8859-8-i",
            "windows-1252",
            "windows-1258",
            "windows-125x",
        ] {
            assert!(Charset::has_ascii(Some(charset)), "{charset}");
            assert_eq!(
                decode(Some(charset), &ascii, 128).as_bytes(),
                ascii,
                "{charset}"
            );
        }
        for charset in ["utf-7", "utf-16", "iso-2022-jp", "hz-gb-2312", "ibm037"] {
            assert!(!Charset::has_ascii(Some(charset)), "{charset}");
        }
    }
}
