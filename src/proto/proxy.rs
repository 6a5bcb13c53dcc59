//! The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): the header before a connection that says whose it is.
//! Reads no sockets, asks for no octet behind the header, and does not decide who is believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// §2.1: the longest line of version 1, its CRLF included.
const LINE_MAX: usize = 107;
/// The shortest header of either version: `PROXY UNKNOWN` CRLF.
const LEAST: usize = 15;
/// §2.2
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2: signature, version and command, family, length.
const FIXED: usize = 16;
/// Octets behind that. Addresses and all TLVs of the specification need far less; 65,535 could be written there.
const REST_MAX: usize = 4096;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The proxy's own, such as a health check (LOCAL).
    Local,
    /// A client's, but the proxy can't say whose: UNKNOWN, a Unix socket.
    Unknown,
    Proxied {
        source: SocketAddr,
        destination: SocketAddr,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("there is no PROXY header")]
    NotProxy,
    #[error("the PROXY line is not well-formed")]
    Line,
    #[error("the PROXY header has an unknown version, command or family")]
    Unsupported,
    #[error("the PROXY header is longer or shorter than it can be")]
    Length,
}

/// Takes the header piece by piece.
#[derive(Debug, Default)]
pub struct Reader {
    read: Vec<u8>,
}

impl Reader {
    pub fn new() -> Self {
        Self::default()
    }

    /// How many octets can be read now without reading past the header: at least 1.
    pub fn wanted(&self) -> usize {
        let read = self.read.len();
        match read {
            read if read < LEAST => LEAST - read,
            _ if self.read.starts_with(b"PROXY ") => match self.read.last() {
                Some(b'\r') => 1,
                _ => 2,
            },
            read if read < FIXED => FIXED - read,
            _ => (FIXED + self.rest()).saturating_sub(read).max(1),
        }
    }

    /// Octets behind the fixed part of version 2.
    fn rest(&self) -> usize {
        match self.read.get(14..FIXED) {
            Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
            _ => 0,
        }
    }

    /// The next octets, no more than were wanted. The header, once it is complete.
    pub fn push(&mut self, octets: &[u8]) -> Result<Option<Header>, Fault> {
        self.read.extend_from_slice(octets);
        let begins = |with: &[u8]| self.read.iter().zip(with).all(|(read, with)| read == with);
        if begins(b"PROXY ") {
            return self.line();
        }
        if !begins(SIGNATURE) {
            return Err(Fault::NotProxy);
        }
        if self.read.len() < FIXED {
            return Ok(None);
        }
        if self.rest() > REST_MAX {
            return Err(Fault::Length);
        }
        match self.read.get(FIXED..) {
            Some(rest) if rest.len() >= self.rest() => self.binary(rest).map(Some),
            _ => Ok(None),
        }
    }

    /// Version 1 (§2.1).
    fn line(&self) -> Result<Option<Header>, Fault> {
        let Some(line) = self.read.strip_suffix(b"\r\n") else {
            let cut = self.read.strip_suffix(b"\r").unwrap_or(&self.read);
            return match () {
                () if cut.iter().any(|octet| octet.is_ascii_control()) => Err(Fault::Line),
                () if self.read.len() >= LINE_MAX => Err(Fault::Length),
                () => Ok(None),
            };
        };
        if self.read.len() > LINE_MAX {
            return Err(Fault::Length);
        }
        let line = std::str::from_utf8(line).map_err(|_| Fault::Line)?;
        if line.contains(|c: char| c.is_control()) {
            return Err(Fault::Line);
        }
        let mut words = line.split(' ').skip(1);
        let ip = match words.next() {
            Some("UNKNOWN") => return Ok(Some(Header::Unknown)),
            Some("TCP4") => |word: &str| word.parse::<Ipv4Addr>().ok().map(IpAddr::from),
            Some("TCP6") => |word: &str| word.parse::<Ipv6Addr>().ok().map(IpAddr::from),
            _ => return Err(Fault::Line),
        };
        let (source, destination) = (words.next().and_then(ip), words.next().and_then(ip));
        let (from, to) = (words.next().and_then(port), words.next().and_then(port));
        match (source, destination, from, to, words.next()) {
            (Some(source), Some(destination), Some(from), Some(to), None) => {
                Ok(Some(proxied((source, from), (destination, to))))
            }
            _ => Err(Fault::Line),
        }
    }

    /// Version 2 (§2.2). What follows the addresses (TLVs) is passed over.
    fn binary(&self, rest: &[u8]) -> Result<Header, Fault> {
        match self.read.get(12..14) {
            // Whatever the family says.
            Some([0x20, _]) => Ok(Header::Local),
            // Unspecified, and Unix sockets.
            Some([0x21, 0x00 | 0x31]) => Ok(Header::Unknown),
            Some([0x21, 0x11]) => match rest.first_chunk() {
                Some(&[a, b, c, d, e, f, g, h, p, q, r, s]) => Ok(proxied(
                    (Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([p, q])),
                    (Ipv4Addr::new(e, f, g, h), u16::from_be_bytes([r, s])),
                )),
                None => Err(Fault::Length),
            },
            Some([0x21, 0x21]) => {
                let address = |from: usize| {
                    rest.get(from..)
                        .and_then(<[u8]>::first_chunk::<16>)
                        .map(|octets| Ipv6Addr::from(*octets))
                };
                match (address(0), address(16), rest.get(32..36)) {
                    (Some(source), Some(destination), Some(&[p, q, r, s])) => Ok(proxied(
                        (source, u16::from_be_bytes([p, q])),
                        (destination, u16::from_be_bytes([r, s])),
                    )),
                    _ => Err(Fault::Length),
                }
            }
            _ => Err(Fault::Unsupported),
        }
    }
}

/// An IPv4 client of a dual-stack proxy is an IPv4 client.
fn proxied<A: Into<IpAddr>>(source: (A, u16), destination: (A, u16)) -> Header {
    let address = |(ip, port): (A, u16)| SocketAddr::new(ip.into().to_canonical(), port);
    Header::Proxied {
        source: address(source),
        destination: address(destination),
    }
}

/// Decimal, without leading zeros.
fn port(word: &str) -> Option<u16> {
    let plain = word == "0" || !word.starts_with(['0', '+']);
    word.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads as a driver does; the header and what was left unread.
    fn read(mut octets: &[u8], at_once: usize) -> Result<(Header, &[u8]), Option<Fault>> {
        let mut reader = Reader::new();
        loop {
            let count = reader.wanted().min(at_once).min(octets.len());
            if count == 0 {
                return Err(None);
            }
            let (piece, rest) = octets.split_at(count);
            octets = rest;
            if let Some(header) = reader.push(piece).map_err(Some)? {
                return Ok((header, octets));
            }
        }
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    fn from(source: &str, destination: &str) -> Header {
        Header::Proxied {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    #[test]
    fn headers_are_read_to_their_end_and_no_further() {
        let four = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 4, 0, 25];
        let with_tlv = [&four[..], &[4, 0, 1, 0]].concat();
        let mut six = [0; 36];
        six[..2].copy_from_slice(&[0x20, 0x01]);
        six[15] = 1;
        six[31] = 1;
        six[35] = 25;
        let mut mapped = [0; 36];
        mapped[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 1]);
        let v4 = from("192.0.2.1:56324", "198.51.100.2:25");
        for (octets, header) in [
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n".to_vec(),
                v4,
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n".to_vec(),
                from("[2001:db8::1]:1", "[::1]:65535"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), Header::Unknown),
            (b"PROXY UNKNOWN ::1 what ever\r\n".to_vec(), Header::Unknown),
            (v2(0x21, 0x11, &four), v4),
            (v2(0x21, 0x11, &with_tlv), v4),
            (v2(0x21, 0x21, &six), from("[2001::1]:0", "[::1]:25")),
            (v2(0x21, 0x21, &mapped), from("192.0.2.1:0", "[::]:0")),
            (v2(0x20, 0x00, b""), Header::Local),
            (v2(0x20, 0x11, &four), Header::Local),
            (v2(0x21, 0x00, b"anything"), Header::Unknown),
            (v2(0x21, 0x31, &[b'/'; 216]), Header::Unknown),
        ] {
            let all = [&octets[..], b"EHLO c.test\r\n"].concat();
            for at_once in [1, 2, 7, usize::MAX] {
                assert_eq!(
                    read(&all, at_once),
                    Ok((header, &b"EHLO c.test\r\n"[..])),
                    "{octets:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_that_shows() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        let four = [0; 12];
        let no_signature = b"\r\n\r\nX\r\nQUIT\n!\x11\0\x0c".to_vec();
        for (octets, fault) in [
            (b"EHLO c.test\r\nMAIL FROM:<>\r\n".to_vec(), Fault::NotProxy),
            (b"\x16\x03\x01\x02\0\x01\0".to_vec(), Fault::NotProxy),
            (no_signature, Fault::NotProxy),
            (
                b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n".to_vec(),
                Fault::Line,
            ),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n".to_vec(), Fault::Line),
            (
                b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n".to_vec(),
                Fault::Line,
            ),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n".to_vec(), Fault::Line),
            (b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(), Fault::Line),
            (b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n".to_vec(), Fault::Line),
            (
                b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n.\r\n".to_vec(),
                Fault::Line,
            ),
            (b"PROXY x\r\nEHLO c.test\r\n".to_vec(), Fault::Line),
            (long.into_bytes(), Fault::Length),
            (v2(0x11, 0x11, &four), Fault::Unsupported),
            (v2(0x22, 0x11, &four), Fault::Unsupported),
            // UDP
            (v2(0x21, 0x12, &four), Fault::Unsupported),
            (v2(0x21, 0x11, &four[..11]), Fault::Length),
            (v2(0x21, 0x21, &four), Fault::Length),
            (v2(0x20, 0, &[0; REST_MAX + 1]), Fault::Length),
        ] {
            for at_once in [1, usize::MAX] {
                assert_eq!(read(&octets, at_once), Err(Some(fault)), "{octets:?}");
            }
        }
        assert_eq!(read(b"PROXY TCP4 1.2.3.4 1.2", 1), Err(None));
    }
}
