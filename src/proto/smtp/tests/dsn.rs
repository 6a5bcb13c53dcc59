//! The parameters of RFC 3461.

use super::super::command::Command;
use super::*;

#[test]
fn parameters_of_mail() {
    let long = format!("ENVID={}", "x".repeat(101));
    for (parameters, fine) in [
        ("RET=FULL ENVID=QQ314159", true),
        ("ret=hdrs envid=a+2Bb+3D+20c", true),
        ("RET", false),
        ("RET=BODY", false),
        ("RET=FULL RET=HDRS", false),
        ("ENVID", false),
        ("ENVID=a ENVID=a", false),
        ("ENVID=a+", false),
        ("ENVID=a+2", false),
        ("ENVID=a+2b", false),
        ("ENVID=a+0D+0AX:", false),
        ("ENVID=a+7F", false),
        ("ENVID=ä", false),
        (&long, false),
    ] {
        let said = format!("EHLO c.test\r\nMAIL FROM:<> SMTPUTF8 {parameters}\r\n");
        let code = if fine { "250 2.1.0" } else { "501 5.5.4" };
        assert_eq!(codes(said.as_bytes())[1], code, "{parameters:?}");
    }
    // RFC 6533 §3: outside ASCII an original recipient needs SMTPUTF8.
    let said = "EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test> ORCPT=utf-8;b\u{f6}b@x.test\r\n";
    assert_eq!(codes(said.as_bytes())[2], "553 5.6.7");
    let Ok(Command::Mail(mail)) = Command::parse(
        b"MAIL FROM:<> ret=hdrs ENVID=a+2Bb",
        &config(),
        Address::parse,
    ) else {
        panic!()
    };
    assert_eq!(
        (mail.ret, mail.envid.as_deref()),
        (Some(Ret::Headers), Some("a+2Bb"))
    );
}

#[test]
fn parameters_of_rcpt() {
    let long = format!("ORCPT=rfc822;{}", "x".repeat(500));
    for (parameters, fine) in [
        ("NOTIFY=NEVER", true),
        ("notify=success,Failure,DELAY", true),
        ("NOTIFY=DELAY ORCPT=rfc822;bob+2Bnews@example.test", true),
        ("ORCPT=utf-8;b\\x{F6}b@example.test", true),
        ("ORCPT=UTF-8;böb@example.test", true),
        ("ORCPT=x400;/G+3DBob/S+3DSmith/", true),
        ("NOTIFY", false),
        ("NOTIFY=NEVER,DELAY", false),
        ("NOTIFY=NEVER,NEVER", false),
        ("NOTIFY=DELAY,DELAY", false),
        ("NOTIFY=DELAY,", false),
        ("NOTIFY=ALWAYS", false),
        ("NOTIFY=DELAY NOTIFY=DELAY", false),
        ("ORCPT", false),
        ("ORCPT=bob@example.test", false),
        ("ORCPT=;bob@example.test", false),
        ("ORCPT=rfc822;", false),
        ("ORCPT=rfc 822;bob", false),
        ("ORCPT=r(c)822;bob", false),
        ("ORCPT=rfc822;böb", false),
        ("ORCPT=rfc822;b+0Ab", false),
        ("ORCPT=utf-8;b\\x{0A}b", false),
        ("ORCPT=utf-8;b\\x{D800}b", false),
        ("ORCPT=utf-8;b\\xF6b", false),
        ("ORCPT=utf-8;b\\x{F6", false),
        (&long, false),
    ] {
        let said =
            format!("EHLO c.test\r\nMAIL FROM:<> SMTPUTF8\r\nRCPT TO:<a@x.test> {parameters}\r\n");
        let code = codes(said.as_bytes())[2].clone();
        if fine {
            assert_eq!(code, "250 2.1.5", "{parameters:?}");
        } else {
            assert!(
                ["501 5.5.4", "555 5.5.4"].contains(&code.as_str()),
                "{parameters:?}: {code}"
            );
        }
    }
    let line = b"RCPT TO:<a@x.test> notify=failure,delay ORCPT=rfc822;b+2Bb@x.test";
    let Ok(Command::Rcpt(recipient)) = Command::parse(line, &config(), Address::parse) else {
        panic!()
    };
    assert_eq!(recipient.notify.as_deref(), Some("FAILURE,DELAY"));
    assert_eq!(recipient.original.as_deref(), Some("rfc822;b+2Bb@x.test"));
}
