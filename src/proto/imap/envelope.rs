//! ENVELOPE of a header (RFC 3501 §7.4.2). Nothing in it is decoded: that is the client's part.
//! Reads no message beyond its header.

use super::encode::{nstring, string};
use crate::mail::Header;
use crate::mail::address_list::{Entry, parse};

/// More addresses than this of one field are left out: no client shows them, and each costs memory there.
const ADDRESSES_MAX: usize = 2000;

pub fn envelope(out: &mut Vec<u8>, header: &Header) {
    let from = addresses(header, "From");
    out.push(b'(');
    nstring(out, text(header, "Date").as_deref());
    out.push(b' ');
    nstring(out, text(header, "Subject").as_deref());
    out.push(b' ');
    list(out, &from);
    for name in ["Sender", "Reply-To"] {
        out.push(b' ');
        let own = addresses(header, name);
        // The server fills these two in (RFC 3501 §7.4.2).
        list(out, if own.is_empty() { &from } else { &own });
    }
    for name in ["To", "Cc", "Bcc"] {
        out.push(b' ');
        list(out, &addresses(header, name));
    }
    out.push(b' ');
    nstring(out, text(header, "In-Reply-To").as_deref());
    out.push(b' ');
    nstring(out, text(header, "Message-ID").as_deref());
    out.push(b')');
}

/// The value unfolded (RFC 5322 §2.2.3) and trimmed.
fn text(header: &Header, name: &str) -> Option<Vec<u8>> {
    let field = header.get(name).next()?;
    let value = field.value().trim_ascii();
    Some(
        value
            .iter()
            .copied()
            .filter(|b| !matches!(b, b'\r' | b'\n'))
            .collect(),
    )
}

/// Of all fields of that name: mail with two To fields is against RFC 5322 §3.6 and common.
fn addresses(header: &Header, name: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = header
        .get(name)
        .flat_map(|field| parse(field.value()))
        .collect();
    entries.truncate(ADDRESSES_MAX);
    entries
}

fn list(out: &mut Vec<u8>, entries: &[Entry]) {
    if entries.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for entry in entries {
        let mut fields = |name: Option<&[u8]>,
                          route: Option<&[u8]>,
                          local: Option<&[u8]>,
                          domain: Option<&[u8]>| {
            out.push(b'(');
            nstring(out, name);
            out.push(b' ');
            nstring(out, route);
            out.push(b' ');
            nstring(out, local);
            out.push(b' ');
            nstring(out, domain);
            out.push(b')');
        };
        match entry {
            Entry::Address {
                name,
                route,
                local,
                domain,
            } => {
                fields(name.as_deref(), route.as_deref(), Some(local), Some(domain));
            }
            Entry::GroupStart(name) => fields(None, None, Some(name), None),
            Entry::GroupEnd => fields(None, None, None, None),
        }
    }
    out.push(b')');
}

/// For fields of BODYSTRUCTURE too.
pub(super) fn list_or_string(out: &mut Vec<u8>, values: &[String]) {
    match values {
        [] => out.extend_from_slice(b"NIL"),
        [one] => string(out, one.as_bytes()),
        many => {
            out.push(b'(');
            for (index, value) in many.iter().enumerate() {
                if index > 0 {
                    out.push(b' ');
                }
                string(out, value.as_bytes());
            }
            out.push(b')');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn shown(header: &'static str) -> String {
        let mut out = Vec::new();
        envelope(
            &mut out,
            &Header::parse(&Bytes::from_static(header.as_bytes())),
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_example_of_rfc_3501() {
        assert_eq!(
            shown(
                "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\nSubject: IMAP4rev1 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\ncc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\nMessage-Id: <B27397-0100000@cac.washington.edu>\r\n\r\n"
            ),
            "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" \
             ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
             ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
             ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
             ((NIL NIL \"imap\" \"cac.washington.edu\")) \
             ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) \
             NIL NIL \"<B27397-0100000@cac.washington.edu>\")"
        );
    }

    #[test]
    fn what_is_missing_is_nil_and_what_is_empty_is_empty() {
        assert_eq!(shown("\r\n"), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
        assert_eq!(
            shown("Subject:\r\nSender:\r\nFrom: a@b\r\nReply-To: c@d\r\nTo: G: x@y;\r\n\r\n"),
            "(NIL \"\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"c\" \"d\")) \
             ((NIL NIL \"G\" NIL)(NIL NIL \"x\" \"y\")(NIL NIL NIL NIL)) NIL NIL NIL NIL)"
        );
    }

    #[test]
    fn folded_and_not_decoded() {
        assert_eq!(
            shown("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n and more\r\n\r\n"),
            "(NIL \"=?utf-8?q?Gr=C3=BC=C3=9Fe?= and more\" NIL NIL NIL NIL NIL NIL NIL NIL)"
        );
    }
}
