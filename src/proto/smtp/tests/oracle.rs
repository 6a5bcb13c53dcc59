//! A second opinion: what we take for a command, another parser takes for the same. (Not the other way round: it takes more.)

use super::super::command::Command;
use super::*;
use proptest::prelude::*;
use proptest::sample::select;
use smtp_proto::{MAIL_BODY_8BITMIME, MAIL_SMTPUTF8, Request};

fn line() -> impl Strategy<Value = String> {
    let verb = select(vec![
        "MAIL FROM:",
        "RCPT TO:",
        "mail from: ",
        "EHLO ",
        "HELO ",
        "DATA",
        "RSET",
        "QUIT",
        "NOOP",
        "VRFY ",
        "STARTTLS",
        "MAIL ",
    ]);
    let path = prop_oneof![
        "<[a-z.+=]{0,5}@[a-z.-]{1,6}>",
        "<@[a-z.]{1,4}(,@[a-z]{1,3})?:[a-z]{1,3}@[a-z.]{1,5}>",
        "<\"[a-z >@\\\\]{1,4}\"@[a-z]{1,4}>",
        Just("<>".to_owned()),
        "[a-z.@<>]{0,8}",
    ];
    let parameter = select(vec![
        "",
        " ",
        " SIZE=7",
        " size=10",
        " SIZE=",
        " BODY=8BITMIME",
        " BODY=7bit",
        " SMTPUTF8",
        " X=y",
        " SIZE=7x",
        "SIZE=1",
    ]);
    (verb, path, proptest::collection::vec(parameter, 0..4))
        .prop_map(|(verb, path, parameters)| format!("{verb}{path}{}", parameters.concat()))
}

/// The other parser takes the quotes off. (And it takes no address literals, no empty quoted string, and makes nothing of `<postmaster>`; these
/// are left out.)
fn same_address(ours: &str, theirs: &str) -> bool {
    ours.starts_with('"') || ours.eq_ignore_ascii_case(theirs)
}

proptest! {
    #[test]
    fn another_parser_agrees(line in line()) {
        let Ok(ours) = Command::parse(line.as_bytes(), &config(), Address::parse) else {
            return Ok(());
        };
        // We bear with more spaces before a name than it does.
        let wire = format!("{}\r\n", line.replace("LO  ", "LO ").replace("LO  ", "LO "));
        let theirs = Request::parse(&mut wire.as_bytes().iter());
        let agreed = match (&ours, &theirs) {
            (Command::Mail(mail), Ok(Request::Mail { from })) => {
                same_address(&mail.sender.to_string(), &from.address)
                    && mail.size.unwrap_or(0) == from.size as u64
                    && (mail.body == Body::EightBit) == (from.flags & MAIL_BODY_8BITMIME != 0)
                    && mail.utf8 == (from.flags & MAIL_SMTPUTF8 != 0)
            }
            (Command::Rcpt(recipient), Ok(Request::Rcpt { to })) => {
                same_address(&recipient.address.to_string(), &to.address)
            }
            (Command::Hello(hello), Ok(Request::Ehlo { host })) => hello.extended && hello.name == *host,
            (Command::Hello(hello), Ok(Request::Helo { host })) => !hello.extended && hello.name == *host,
            (Command::Data, Ok(Request::Data))
            | (Command::Rset, Ok(Request::Rset))
            | (Command::Quit, Ok(Request::Quit))
            | (Command::Noop, Ok(Request::Noop { .. }))
            | (Command::Vrfy, Ok(Request::Vrfy { .. }))
            | (Command::StartTls, Ok(Request::StartTls)) => true,
            _ => false,
        };
        prop_assert!(agreed, "{line:?}: {ours:?}, but {theirs:?}");
    }
}
