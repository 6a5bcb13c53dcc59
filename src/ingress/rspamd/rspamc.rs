//! The header of a request as it was before HTTP: `CHECK RSPAMC/1.3`, which Exim still sends.
//! Reads no message.

use hyper::HeaderMap;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};

/// How each begins; nothing in HTTP does.
pub const START: &[u8] = b"CHECK ";

#[derive(Debug, PartialEq)]
pub struct Head {
    pub headers: HeaderMap,
    /// Octets of the message.
    pub length: u64,
}

/// Where the header ends, if it is all there.
pub fn end(octets: &[u8]) -> Option<usize> {
    let mut lines = memchr::memmem::find_iter(octets, b"\r\n\r\n");
    lines.next().map(|at| at + 4)
}

/// An error is what is wrong with it.
pub fn parse(octets: &[u8]) -> Result<Head, String> {
    let mut lines = octets
        .split(|octet| *octet == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let version = first.strip_prefix(START).unwrap_or_default();
    if !version.starts_with(b"RSPAMC/1.") && !version.starts_with(b"SPAMC/1.") {
        return Err(format!(
            "{:?} is not a request: CHECK RSPAMC/1.3 is",
            String::from_utf8_lossy(first.get(..100).unwrap_or(first))
        ));
    }
    let mut headers = HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let shown = || String::from_utf8_lossy(line.get(..100).unwrap_or(line)).into_owned();
        let colon =
            memchr::memchr(b':', line).ok_or_else(|| format!("{:?} has no colon", shown()))?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let name = HeaderName::from_bytes(name.trim_ascii())
            .map_err(|_| format!("{:?} does not begin with a name", shown()))?;
        let value = HeaderValue::from_bytes(value)
            .map_err(|_| format!("{:?} has octets that it must not have", shown()))?;
        headers
            .try_append(name, value)
            .map_err(|_| "too many header fields".to_owned())?;
    }
    let length = headers
        .get(CONTENT_LENGTH)
        .ok_or("there is no Content-Length")?;
    let length = length.to_str().ok().and_then(|text| text.parse().ok());
    let length = length.ok_or("Content-Length is not a number")?;
    Ok(Head { headers, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exim_sends_is_understood_and_nothing_else() {
        let exim = b"CHECK RSPAMC/1.3\r\nContent-length: 12\r\nQueue-Id: 1wXyZ-0001\r\nFrom: <a@b.test>\r\n\
                     Recipient-Number: 2\r\nRcpt: <c@d.test>\r\nRcpt: <e@d.test>\r\nHelo: h.test\r\n\r\n";
        assert_eq!(end(exim), Some(exim.len()));
        let head = parse(exim).unwrap();
        assert_eq!(head.length, 12);
        assert_eq!(head.headers.get_all("rcpt").iter().count(), 2);
        assert_eq!(head.headers.get("from").unwrap(), "<a@b.test>");
        for (wrong, why) in [
            (&b"CHECK RSPAMC/1.3\r\n\r\n"[..], "no Content-Length"),
            (
                b"CHECK RSPAMC/1.3\r\nContent-length: -1\r\n\r\n",
                "not a number",
            ),
            (
                b"CHECK RSPAMC/1.3\r\nContent-length: 99999999999999999999\r\n\r\n",
                "not a number",
            ),
            (b"CHECK RSPAMC/1.3\r\nContent-length\r\n\r\n", "no colon"),
            (
                b"CHECK RSPAMC/1.3\r\nA B: 1\r\n\r\n",
                "does not begin with a name",
            ),
            (b"CHECK RSPAMC/1.3\r\nA: \x01\r\n\r\n", "must not have"),
            (b"CHECK / HTTP/1.1\r\n\r\n", "not a request"),
            (b"", "not a request"),
        ] {
            let said = parse(wrong).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        assert_eq!(end(b"CHECK RSPAMC/1.3\r\nA: b\r\n"), None);
    }
}
