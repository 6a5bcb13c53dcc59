//! Each method by itself.

use crate::support::dns::{Dns, Otherwise, Zone};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hickory_server::proto::op::ResponseCode;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256, SigningKey};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::DkimSigner;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::sync::Arc;
use std::time::Duration;
use wasmilter::dns::{LookupError, Resolver};
use wasmilter::mail::{Address, AuthenticationResult, Content, Envelope, ReversePath, Session};
use wasmilter::verify::{Action, Config, Policy, Sender, Verifier};

pub fn session(client: &str, helo: &str) -> Session {
    Session {
        server_name: "mx.example.test".into(),
        client_address: Some(client.parse().unwrap()),
        helo: helo.into(),
        protocol: "ESMTP".into(),
        ..Session::default()
    }
}

pub fn from(sender: &str) -> Envelope {
    Envelope {
        sender: ReversePath::Address(Address::parse(sender).unwrap()),
        ..Envelope::default()
    }
}

pub fn outcomes(results: &[AuthenticationResult], method: &str) -> Vec<String> {
    let found = results.iter().filter(|result| result.method == method);
    found.map(|result| result.outcome.clone()).collect()
}

/// Two keys of a domain, their records, and messages signed with them.
pub struct Keys {
    domain: String,
    rsa: Vec<u8>,
    ed25519: Vec<u8>,
}

impl Keys {
    pub fn of(domain: &str) -> Self {
        let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        Self {
            domain: domain.to_owned(),
            rsa: rsa.serialize_der(),
            ed25519: Ed25519Key::generate_pkcs8().unwrap(),
        }
    }

    fn rsa(&self) -> RsaKey<Sha256> {
        let key = PrivatePkcs8KeyDer::from(self.rsa.clone()).into();
        RsaKey::from_key_der(key).unwrap()
    }

    fn ed25519(&self) -> Ed25519Key {
        Ed25519Key::from_pkcs8_maybe_unchecked_der(&self.ed25519).unwrap()
    }

    pub fn publish(&self, zone: Zone) -> Zone {
        let record =
            |kind: &str, key: Vec<u8>| format!("v=DKIM1; k={kind}; p={}", STANDARD.encode(key));
        let name = |selector: &str| format!("{selector}._domainkey.{}", self.domain);
        zone.text(&name("rsa"), &record("rsa", self.rsa().public_key()))
            .text(&name("ed"), &record("ed25519", self.ed25519().public_key()))
    }

    fn signature(&self, key: impl SigningKey, selector: &str, message: &str) -> String {
        DkimSigner::from_key(key)
            .domain(&self.domain)
            .selector(selector)
            .headers(["From", "Subject"])
            .sign(message.as_bytes())
            .unwrap()
            .to_header()
    }

    /// With a signature of each key.
    pub fn sign(&self, message: &str) -> String {
        let rsa = self.signature(self.rsa(), "rsa", message);
        let ed25519 = self.signature(self.ed25519(), "ed", message);
        format!("{rsa}{ed25519}{message}")
    }
}

pub fn message(author: &str) -> String {
    format!("From: {author}\r\nSubject: hello\r\n\r\nWords.\r\n")
}

async fn checked(
    dns: &Dns,
    client: &str,
    sender: &str,
    message: &str,
) -> Vec<AuthenticationResult> {
    let verifier = Verifier::new(Config::default(), dns.resolver());
    let session = session(client, "client.test");
    let sender = verifier.sender(&session, &from(sender)).await;
    let content = Content::from_bytes(message.to_owned());
    verifier.message(sender, &content).await.unwrap().results
}

#[tokio::test(flavor = "multi_thread")]
async fn iprev_wants_the_name_to_lead_back() {
    let forged = "5.2.0.192.in-addr.arpa";
    let zone = Zone::default()
        .host("mail.test", "192.0.2.4".parse().unwrap())
        .pointer(forged, "mail.test")
        .otherwise(
            "6.2.0.192.in-addr.arpa",
            Otherwise::Error(ResponseCode::ServFail),
        );
    let dns = Dns::start(zone).await;
    let verifier = Verifier::new(Config::default(), dns.resolver());
    for (client, expected) in [
        ("192.0.2.4", "pass"),
        ("192.0.2.5", "fail"),
        ("192.0.2.6", "temperror"),
        ("192.0.2.7", "permerror"),
    ] {
        let session = session(client, "client.test");
        let found = verifier.sender(&session, &from("a@b.test")).await;
        assert_eq!(outcomes(&found.results, "iprev"), [expected], "{client}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_dkim_signature_is_judged() {
    let keys = Keys::of("author.test");
    let dns = Dns::start(keys.publish(Zone::default())).await;
    let signed = keys.sign(&message("a@author.test"));
    let dkim = |results: Vec<AuthenticationResult>| outcomes(&results, "dkim");
    let check = |message: String| {
        let dns = &dns;
        async move { checked(dns, "192.0.2.1", "a@author.test", &message).await }
    };
    let found = check(signed.clone()).await;
    assert!(found.iter().any(|result| {
        result
            .property
            .starts_with("header.d=author.test header.s=ed header.b=")
    }));
    assert_eq!(dkim(found), ["pass", "pass"]);
    assert_eq!(
        dkim(check(signed.replace("Words", "Other")).await),
        ["fail", "fail"]
    );
    assert_eq!(
        dkim(check(signed.replace("hello", "other")).await),
        ["fail", "fail"]
    );
    assert_eq!(dkim(check(message("a@author.test")).await), ["none"]);
    assert_eq!(dkim(check("no header at all".into()).await), ["none"]);

    let ed = "ed._domainkey.author.test";
    for (otherwise, expected) in [
        (Otherwise::NoData, "permerror"),
        (Otherwise::Error(ResponseCode::ServFail), "temperror"),
        (Otherwise::Silence, "temperror"),
    ] {
        let dns = Dns::start(Zone::default().otherwise(ed, otherwise)).await;
        let found = checked(&dns, "192.0.2.1", "a@author.test", &signed).await;
        assert_eq!(dkim(found)[1], expected, "{otherwise:?}");
    }
}

/// More than can be in memory by the way: it is hashed in a thread.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_message_is_checked_too() {
    let keys = Keys::of("author.test");
    let dns = Dns::start(keys.publish(Zone::default())).await;
    let body = "A line of forty octets, CR and LF too.\r\n".repeat(30_000);
    let signed = keys.sign(&format!("From: a@author.test\r\nSubject: s\r\n\r\n{body}"));
    let found = checked(&dns, "192.0.2.1", "a@author.test", &signed).await;
    assert_eq!(outcomes(&found, "dkim"), ["pass", "pass"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dmarc_wants_an_aligned_pass() {
    let signer = Keys::of("author.test");
    let other = Keys::of("other.test");
    let zone = other
        .publish(signer.publish(Zone::default()))
        .text("_dmarc.author.test", "v=DMARC1; p=reject")
        .text(
            "_dmarc.strict.author.test",
            "v=DMARC1; p=quarantine; adkim=s; aspf=s",
        )
        .text("_dmarc.mail.test", "v=DMARC1; p=none")
        .text("mail.test", "v=spf1 ip4:192.0.2.1 -all")
        .otherwise(
            "_dmarc.broken.test",
            Otherwise::Error(ResponseCode::ServFail),
        );
    let dns = Dns::start(zone).await;
    for (what, sender, text, expected) in [
        (
            "DKIM",
            "a@x.test",
            signer.sign(&message("a@author.test")),
            "pass",
        ),
        (
            "DKIM of a parent",
            "a@x.test",
            signer.sign(&message("a@sub.author.test")),
            "pass",
        ),
        (
            "DKIM of a parent, strict",
            "a@x.test",
            signer.sign(&message("a@strict.author.test")),
            "fail",
        ),
        (
            "DKIM of another",
            "a@x.test",
            other.sign(&message("a@author.test")),
            "fail",
        ),
        ("nothing", "a@x.test", message("a@author.test"), "fail"),
        ("SPF", "a@mail.test", message("a@mail.test"), "pass"),
        (
            "SPF of another",
            "a@mail.test",
            message("a@author.test"),
            "fail",
        ),
        ("no policy", "a@x.test", message("a@x.test"), "none"),
        (
            "no answer",
            "a@x.test",
            message("a@broken.test"),
            "temperror",
        ),
        (
            "two authors' fields",
            "a@x.test",
            format!("From: b@mail.test\r\n{}", message("a@author.test")),
            "permerror",
        ),
        (
            "no author",
            "a@x.test",
            "Subject: s\r\n\r\n".to_owned(),
            "none",
        ),
        ("an empty author", "a@x.test", message(""), "none"),
        ("a name only", "a@x.test", message("\"A\""), "none"),
    ] {
        let found = checked(&dns, "192.0.2.1", sender, &text).await;
        assert_eq!(outcomes(&found, "dmarc"), [expected], "{what}");
    }
}

/// Its author is another for the library than for those who read the message.
pub const TWO_FACED: &[&str] = &[
    "From: anna@(c)author.test\r\n\r\n",
    "From: anna @ author.test\r\n\r\n",
    "From: \"a\" <anna@author.test> <x@evil.test>\r\n\r\n",
    "From: anna@author.test.\r\n\r\n",
    "From: x@evil.test, anna@author.test\r\n\r\n",
    "From: x@evil.test; anna@author.test\r\n\r\n",
    "From: \"anna@author.test\"\r\n\r\n",
    "From: x@evil.test\r\nfrom: anna@author.test\r\n\r\n",
    "Subject: s\r\nthis line is no field\r\nFrom: anna@author.test\r\n\r\n",
    "From: x@evil.test\r\nthis line is no field\r\nSubject: s\r\n\r\n",
    "From anna@evil.test\r\nFrom: anna@author.test\r\n\r\n",
    "this line is no field\r\nFrom: anna@author.test\r\n\r\n",
    "Subject: s\r\nFrom\r\n : x@evil.test\r\nFrom: anna@author.test\r\n\r\n",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_author_that_can_be_read_in_two_ways_is_none() {
    let zone = Zone::default()
        .text("_dmarc.author.test", "v=DMARC1; p=reject")
        .text("evil.test", "v=spf1 ip4:192.0.2.1 -all")
        .text("_dmarc.evil.test", "v=DMARC1; p=none");
    let dns = Dns::start(zone).await;
    let only_dmarc = Policy {
        dmarc: Action::Reject,
        ..Policy::default()
    };
    let verifier = Verifier::new(Config { policy: only_dmarc }, dns.resolver());
    let by_bdat = [
        "From: anna@author.test",
        "Subject: s\r\nFrom: anna@author.test",
        "From: x@evil.test\r\nFrom\n : anna@author.test\r\n\r\n",
    ];
    for text in TWO_FACED.iter().chain(&by_bdat) {
        let session = session("192.0.2.1", "client.test");
        let sender = verifier.sender(&session, &from("x@evil.test")).await;
        let content = Content::from_bytes(*text);
        let found = verifier.message(sender, &content).await.unwrap();
        assert_eq!(outcomes(&found.results, "dmarc"), ["permerror"], "{text}");
        let reply = found.ruling.refusal.unwrap();
        assert_eq!(reply.code, 550, "{text}");
    }
    for text in [
        "From: \"a, (b\" <x@evil.test>\r\n\r\n",
        "From: A (c) <x@EVIL.test> (d)\r\n\r\n",
        "From: G: x@evil.test, y@evil.test;\r\n\r\n",
        "From: Doe, J. <x@evil.test>\r\n\r\n",
        "From: =?utf-8?q?a=40author.test?= <x@evil.test>\r\n\r\n",
        "From:\r\n A\r\n\t<x@evil.test>\r\n\r\n",
    ] {
        let found = checked(&dns, "192.0.2.1", "x@evil.test", text).await;
        assert_eq!(outcomes(&found, "dmarc"), ["pass"], "{text}");
    }
    let signed = Keys::of("author.test").sign(&message("a@author.test"));
    let text = format!("this line is no field\r\n{signed}");
    let found = checked(&dns, "192.0.2.1", "x@evil.test", &text).await;
    assert_eq!(outcomes(&found, "dkim"), ["permerror"]);
}

/// RFC 6376 §6.1.1
#[tokio::test(flavor = "multi_thread")]
async fn signatures_that_are_not_to_be_verified_are_permanent_errors() {
    let keys = Keys::of("author.test");
    let dns = Dns::start(keys.publish(Zone::default())).await;
    let text = message("a@author.test");
    let many = vec!["From"; 257];
    let signed = |names: &[&str]| {
        let signer = DkimSigner::from_key(keys.ed25519());
        let signer = signer.domain("author.test").selector("ed");
        let signature = signer.headers(names.iter().copied()).sign(text.as_bytes());
        signature.unwrap().to_header()
    };
    let good = signed(&["From", "Subject"]);
    for (signature, expected) in [
        (good.clone(), "pass"),
        (signed(&many[..256]), "pass"),
        (signed(&many), "permerror"),
        (signed(&["Subject"]), "permerror"),
        (good.replace("v=1;", ""), "permerror"),
    ] {
        let text = format!("{signature}{text}");
        let found = checked(&dns, "192.0.2.1", "a@x.test", &text).await;
        assert_eq!(outcomes(&found, "dkim"), [expected], "{signature}");
    }
    let names = "x:".repeat(257);
    let chain = format!(
        "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=author.test; s=rsa; b=AAAA\r\n\
         ARC-Message-Signature: i=1; a=rsa-sha256; d=author.test; s=rsa; h={names}from; bh=AAAA; b=AAAA\r\n\
         ARC-Authentication-Results: i=1; author.test; none\r\n{text}"
    );
    let found = checked(&dns, "192.0.2.1", "a@x.test", &chain).await;
    let arc = found.iter().find(|found| found.method == "arc").unwrap();
    assert_eq!(arc.outcome, "fail");
    assert!(arc.reason.as_ref().unwrap().contains("too many"), "{arc:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_other_services_are_none() {
    let keys = Keys::of("author.test");
    let signed = keys.sign(&message("a@author.test"));
    let key = STANDARD.encode(keys.ed25519().public_key());
    for (tags, expected) in [
        ("s=*; h=sha1:sha256", "pass"),
        ("s=tlsrpt:email", "pass"),
        ("s=tlsrpt", "permerror"),
        ("h=sha1", "permerror"),
    ] {
        let record = format!("v=DKIM1; k=ed25519; {tags}; p={key}");
        let zone = Zone::default().text("ed._domainkey.author.test", &record);
        let dns = Dns::start(zone).await;
        let found = checked(&dns, "192.0.2.1", "a@x.test", &signed).await;
        assert_eq!(outcomes(&found, "dkim")[1], expected, "{tags}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_tag_turns_no_policy_off() {
    for record in [
        "v=DMARC1; p=reject; fo=1,d",
        "v=DMARC1; adkim=relaxed; p=reject",
        "v=DMARC1; p=reject; sp=",
    ] {
        // With something else that stands there.
        let zone = Zone::default()
            .text("_dmarc.author.test", record)
            .text("_dmarc.author.test", "other=1");
        let dns = Dns::start(zone).await;
        let found = checked(&dns, "192.0.2.1", "a@x.test", &message("a@author.test")).await;
        let dmarc = found.iter().find(|found| found.method == "dmarc").unwrap();
        assert_eq!(dmarc.outcome, "fail", "{record}");
        let reason = dmarc.reason.as_ref().unwrap();
        assert!(reason.ends_with("reject"), "{record}: {reason}");
    }
}

fn patient(dns: &Dns) -> Resolver {
    Resolver::new(wasmilter::dns::Config {
        servers: Some(vec![dns.address]),
        timeout: Duration::from_secs(60),
    })
    .unwrap()
}

/// Domains that do not answer, of which a sender may have any number, take no time of those that do.
#[tokio::test(flavor = "multi_thread")]
async fn slow_domains_of_signatures_hide_no_policy() {
    let author = Keys::of("author.test");
    let mut zone = author
        .publish(Zone::default())
        .text("_dmarc.author.test", "v=DMARC1; p=reject");
    let text = message("a@author.test");
    let forged = author.sign(&text.replace("hello", "other"));
    let mut signed = forged
        .strip_suffix(&text.replace("hello", "other"))
        .unwrap()
        .to_owned();
    for number in 0..4 {
        let slow = Keys::of(&format!("slow{number}.test"));
        signed.insert_str(0, slow.sign(&text).strip_suffix(&text).unwrap());
        for selector in ["rsa", "ed"] {
            let name = format!("{selector}._domainkey.slow{number}.test");
            zone = zone.otherwise(&name, Otherwise::Silence);
        }
    }
    let dns = Dns::start(zone).await;
    let verifier = Verifier::new(Config::default(), patient(&dns));
    let session = session("192.0.2.1", "client.test");
    let sender = verifier.sender(&session, &from("a@x.test")).await;
    let content = Content::from_bytes(format!("{signed}{text}"));
    let found = verifier.message(sender, &content).await.unwrap().results;
    let mut expected = vec!["temperror"; 8];
    expected.extend(["fail"; 2]);
    assert_eq!(outcomes(&found, "dkim"), expected);
    assert_eq!(outcomes(&found, "dmarc"), ["fail"]);
}

/// Octets whose last owner says so.
struct Octets {
    text: String,
    _held: Arc<()>,
}

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_keeps_no_octets() {
    let zone = Zone::default().otherwise("_dmarc.author.test", Otherwise::Silence);
    let dns = Dns::start(zone).await;
    let verifier = Verifier::new(Config::default(), patient(&dns));
    let short = message("a@author.test");
    let long = format!("{short}{}", "a line\r\n".repeat(50_000));
    let give_up = async |text: String| {
        let held = Arc::new(());
        let _held = Arc::clone(&held);
        let octets = Octets { text, _held };
        let content = Content::from_bytes(Bytes::from_owner(octets));
        let found = verifier.message(Sender::default(), &content).await.unwrap();
        assert_eq!(outcomes(&found.results, "dmarc"), ["temperror"]);
        drop(content);
        assert_eq!(Arc::strong_count(&held), 1);
    };
    tokio::join!(give_up(short), give_up(long));
}

/// Its client is a mail server of ours: whether the sender was allowed to use that one is not the question.
#[tokio::test(flavor = "multi_thread")]
async fn mail_by_lmtp_is_not_held_against_its_client() {
    let zone = Zone::default()
        .text("author.test", "v=spf1 -all")
        .text("_dmarc.author.test", "v=DMARC1; p=reject");
    let dns = Dns::start(zone).await;
    let verifier = Verifier::new(Config::default(), dns.resolver());
    for protocol in ["LMTP", "LMTPS", "UTF8LMTP", "UTF8LMTPS"] {
        let session = Session {
            protocol: protocol.into(),
            ..session("127.0.0.1", "front.test")
        };
        let sender = verifier.sender(&session, &from("a@author.test")).await;
        assert_eq!(sender.results, [], "{protocol}");
        let content = Content::from_bytes(message("a@author.test"));
        let found = verifier.message(sender, &content).await.unwrap().results;
        assert_eq!(outcomes(&found, "dmarc"), ["none"], "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_kept_and_negative_ones_too() {
    let zone = Zone::default()
        .text("a.test", "x")
        .otherwise("broken.test", Otherwise::Error(ResponseCode::ServFail));
    let dns = Dns::start(zone).await;
    let resolver = dns.resolver();
    assert_eq!(resolver.txt("a.test").await, Ok(vec![b"x".to_vec()]));
    assert_eq!(resolver.txt("b.test").await, Err(LookupError::NotFound));
    let asked = dns.queries();
    assert_eq!(resolver.txt("A.test.").await, Ok(vec![b"x".to_vec()]));
    assert_eq!(resolver.txt("b.test").await, Err(LookupError::NotFound));
    assert_eq!(dns.queries(), asked);

    // One that is not answered is asked twice.
    dns.set(Zone::default().otherwise("silent.test", Otherwise::Silence));
    let asked = dns.queries();
    let silent = resolver.txt("silent.test").await;
    assert!(
        matches!(silent, Err(LookupError::Temporary(_))),
        "{silent:?}"
    );
    assert_eq!(dns.queries() - asked, 2);
    dns.set(Zone::default().otherwise("broken.test", Otherwise::Error(ResponseCode::ServFail)));

    // A failure is not kept.
    let broken = resolver.txt("broken.test").await;
    assert!(
        matches!(broken, Err(LookupError::Temporary(_))),
        "{broken:?}"
    );
    dns.set(Zone::default().text("broken.test", "mended"));
    assert_eq!(
        resolver.txt("broken.test").await,
        Ok(vec![b"mended".to_vec()])
    );
}
