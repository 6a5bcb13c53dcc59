use super::render::text;
use crate::mail::{
    Address, AuthenticationResult, Disposition, Edit, Envelope, Failure, FailureKind, FieldName,
    FieldValue, HeaderEdit, Hook, HostCall, Journal, Line, Mode, Recipient, Ret, Scope, Scoped,
    Session, Symbol, TransactionId, Turn, Verdict, Where,
};
use std::time::Duration;

fn turn(filter: &str, hook: Hook) -> Turn {
    Turn {
        filter: filter.into(),
        version: "1.0.0".into(),
        hook,
        mode: Mode::Active,
        recipient: None,
        about: None,
        result: Ok(Verdict::Continue),
        verdict: Verdict::Continue,
        symbols: vec![],
        edits: vec![],
        refused: vec![],
        log: vec![],
        elapsed: Duration::from_micros(120),
        memory: 1_114_112,
        host_calls: 3,
        calls: vec![],
    }
}

#[test]
fn a_journal_reads_as_a_story() {
    let alice = Address::parse("alice@example.test").unwrap();
    let field = |name| FieldName::new(name).unwrap();
    let line = |text| FieldValue::from(Line::new(text).unwrap());
    let journal = Journal {
        id: TransactionId::new(0, 1),
        queue_id: None,
        at: "2026-11-23T05:06:07Z".into(),
        release: None,
        generation: 3,
        session: Session {
            client_address: Some("192.0.2.1".parse().unwrap()),
            helo: "client.example".into(),
            protocol: "ESMTP".into(),
            ..Session::default()
        },
        envelope: Envelope {
            recipients: vec![Recipient {
                notify: Some("FAILURE".into()),
                original: Some("rfc822;list@example.test".into()),
                ..alice.clone().into()
            }],
            ret: Some(Ret::Headers),
            envid: Some("QQ7".into()),
            ..Envelope::default()
        },
        message_id: Some("1@client.example".into()),
        subject: Some("You have won".into()),
        size: 4312,
        authentication: vec![AuthenticationResult {
            method: "dmarc".into(),
            outcome: "fail".into(),
            property: "header.from=client.example".into(),
            reason: Some("the domain's policy is none".into()),
        }],
        turns: vec![
            Turn {
                symbols: vec![Symbol {
                    name: "ADVANCE_FEE".into(),
                    score: 6.5,
                    reason: "offers a share of a fortune".into(),
                    by: "score".into(),
                }],
                calls: vec![HostCall {
                    what: "dns.listed".into(),
                    argument: "A 1.2.0.192.bl.example".into(),
                    result: "127.0.0.2".into(),
                    elapsed: Duration::from_micros(900),
                }],
                ..turn("score", Hook::Message)
            },
            Turn {
                result: Err(Failure {
                    kind: FailureKind::Timeout,
                    text: "250 ms of CPU are used up".into(),
                }),
                ..turn("slow", Hook::Message)
            },
            Turn {
                edits: vec![
                    Scoped {
                        edit: Edit::Header(HeaderEdit::Change {
                            name: field("Subject"),
                            nth: 1,
                            value: line("[spam] You have won"),
                            was: "You have won".into(),
                        }),
                        scope: Scope::All,
                    },
                    Scoped {
                        edit: Edit::Header(HeaderEdit::Add {
                            name: field("X-Spam-Score"),
                            value: line("6.5"),
                        }),
                        scope: Scope::Only(vec![alice.clone()]),
                    },
                ],
                refused: vec![
                    "header-edit.add \"a b\": a space cannot stand in a field name".into(),
                ],
                ..turn("rewrite", Hook::Message)
            },
            Turn {
                recipient: Some(alice.clone()),
                edits: vec![Scoped {
                    edit: Edit::FileInto {
                        mailbox: "Junk".into(),
                        why: "score 6.5".into(),
                    },
                    scope: Scope::All,
                }],
                ..turn("folders", Hook::Deliver)
            },
        ],
        score: 6.5,
        verdict: Verdict::Continue,
        dispositions: vec![Where {
            recipient: alice,
            disposition: Disposition::Filed {
                mailbox: "Junk".into(),
                uid: 4,
                why: "score 6.5".into(),
            },
        }],
        elapsed: Duration::from_micros(1480),
    };
    insta::assert_snapshot!(text(&journal));
    let json = serde_json::to_string(&journal).unwrap();
    assert_eq!(serde_json::from_str::<Journal>(&json).unwrap(), journal);
}
