//! What is read from Content-* fields, well-formed and not.
//! Structure is tested elsewhere.

use crate::mail::Content;
use crate::mail::mime::{Entity, Parameter, scan};
use proptest::prelude::*;

fn read(header: &[u8]) -> Entity {
    let mut message = header.to_vec();
    message.extend_from_slice(b"\r\n\r\nbody");
    scan(&Content::from_bytes(message)).unwrap()
}

fn shown(parameters: &[Parameter]) -> String {
    let one = |parameter: &Parameter| format!("{}={}", parameter.name, parameter.value);
    parameters.iter().map(one).collect::<Vec<_>>().join("|")
}

#[test]
fn content_types() {
    let table = [
        ("text/plain", "text/plain", ""),
        (" Text / HTML ; Charset=UTF-8", "text/html", "Charset=UTF-8"),
        (
            "text/plain; charset=us-ascii (Plain; text)",
            "text/plain",
            "charset=us-ascii",
        ),
        (
            "text/plain; charset=\"utf-8\"; format=flowed;",
            "text/plain",
            "charset=utf-8|format=flowed",
        ),
        (
            "text/plain; name=\"a \\\"b\\\" (c); d\"",
            "text/plain",
            "name=a \"b\" (c); d",
        ),
        (
            "text/plain charset=utf-8 format=flowed",
            "text/plain",
            "charset=utf-8|format=flowed",
        ),
        (
            "image/png; name=my photo.png; x=1",
            "image/png",
            "name=my photo.png|x=1",
        ),
        (
            "image/png; name=a.png x-unix-mode=0644",
            "image/png",
            "name=a.png|x-unix-mode=0644",
        ),
        (
            "image/png;\r\n\tname=\"a\r\n b.png\"",
            "image/png",
            "name=a b.png",
        ),
        (
            "image/png; name=\"never closed",
            "image/png",
            "name=never closed",
        ),
        ("a/b; x; =y; z=", "a/b", "z="),
        (
            "a/b; name*0=\"x\"; name*1*=utf-8''%C3%A4",
            "a/b",
            "name*0=x|name*1*=utf-8''%C3%A4",
        ),
        ("text", "text/plain", ""),
        ("multipart; boundary=x", "text/plain", ""),
        ("nonsense; charset=x", "text/plain", ""),
        ("", "text/plain", ""),
    ];
    for (value, content_type, parameters) in table {
        let entity = read(format!("Content-Type: {value}").as_bytes());
        assert_eq!(entity.content_type(), content_type, "{value}");
        assert_eq!(shown(&entity.parameters), parameters, "{value}");
    }
}

#[test]
fn names_are_decoded() {
    let table = [
        ("Content-Type: a/b; name=plain.txt", Some("plain.txt")),
        (
            "Content-Type: a/b; name=\"=?utf-8?q?gr=C3=BC=C3=9F.txt?=\"",
            Some("grüß.txt"),
        ),
        (
            "Content-Disposition: attachment; filename*=utf-8'de'gr%C3%BC%C3%9F.txt",
            Some("grüß.txt"),
        ),
        (
            "Content-Disposition: attachment;\r\n filename*0*=iso-8859-1''gr%FC;\r\n filename*1=\"ss.txt\"",
            Some("grüss.txt"),
        ),
        (
            "Content-Type: a/b; name=type\r\nContent-Disposition: inline; filename=disposition",
            Some("disposition"),
        ),
        ("Content-Type: a/b; name=\"\"", None),
        ("Content-Type: a/b", None),
    ];
    for (header, name) in table {
        assert_eq!(read(header.as_bytes()).name.as_deref(), name, "{header}");
    }
}

#[test]
fn other_fields() {
    let entity = read(
        b"CONTENT-TRANSFER-ENCODING: Base64 (really)\r\n\
        Content-ID: <a@b>\r\n\
        Content-Description: =?utf-8?q?a?=\r\n folded\r\n\
        Content-MD5: Q2hlY2s=\r\n\
        Content-Disposition: ATTACHMENT; filename=x; size=3\r\n\
        Content-Language: de, (comment) en-GB,\r\n\
        Content-Location: http://example.org/\r\n \tx\r\n\
        Content-ID: <second>",
    );
    assert_eq!(entity.encoding, "base64");
    assert_eq!(entity.id.as_deref(), Some("<a@b>"));
    assert_eq!(entity.description.as_deref(), Some("=?utf-8?q?a?= folded"));
    assert_eq!(entity.md5.as_deref(), Some("Q2hlY2s="));
    let disposition = entity.disposition.unwrap();
    assert_eq!(disposition.kind, "attachment");
    assert_eq!(shown(&disposition.parameters), "filename=x|size=3");
    assert_eq!(disposition.parameter("SIZE"), Some("3"));
    assert_eq!(entity.language, ["de", "en-GB"]);
    assert_eq!(entity.location.as_deref(), Some("http://example.org/ \tx"));
    let plain = read(b"X: 1");
    assert_eq!((plain.encoding.as_str(), plain.charset()), ("7bit", None));
}

/// Boundaries that are written in odd ways and still have to be found.
#[test]
fn boundaries() {
    let table = [
        ("boundary=\"b c\"", "b c"),
        ("BOUNDARY=----=_Next_b=c", "----=_Next_b=c"),
        ("charset=x; boundary=\"b\\\"c\"", "b\"c"),
        ("boundary=\"b \"", "b"),
        ("boundary*0=b; boundary*1=c", "bc"),
        ("boundary=b (comment)", "b"),
        ("boundary=\"(b)\"", "(b)"),
        ("boundary='b'", "'b'"),
    ];
    for (parameter, boundary) in table {
        let message = format!(
            "Content-Type: multipart/mixed; {parameter}\r\n\r\n--{boundary}\r\n\r\nx\r\n--{boundary}--\r\n"
        );
        let entity = scan(&Content::from_bytes(message)).unwrap();
        assert_eq!(entity.parts().len(), 1, "{parameter}");
    }
}

proptest! {
    #[test]
    fn any_value_is_survived(value in "[a-z/;=*'\"%0-9() \\\\\r\n?-]{0,80}", octets: Vec<u8>) {
        read(format!("Content-Type: {value}\r\nContent-Disposition: {value}").as_bytes());
        read(format!("Content-Type: a/b; name*={value}; boundary*0={value}").as_bytes());
        let mut header = b"Content-Type: a/b; name*=".to_vec();
        header.extend(octets);
        read(&header);
    }

    #[test]
    fn quoted_values_read_back(value in "[ -~]{1,40}") {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let entity = read(format!("Content-Type: a/b; x=\"{quoted}\"; y=1").as_bytes());
        prop_assert_eq!(entity.parameter("x"), Some(value.as_str()));
        prop_assert_eq!(entity.parameter("y"), Some("1"));
    }
}
