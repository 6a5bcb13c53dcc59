//! SPF (RFC 7208) beyond the published sets, which are not everywhere.

use super::checks::{from, outcomes, session};
use crate::support::dns::{Dns, Otherwise, Zone};
use hickory_server::proto::op::ResponseCode;
use wasmilter::verify::{Config, Verifier};

#[tokio::test(flavor = "multi_thread")]
async fn spf_says_temperror_when_the_dns_does_not_answer() {
    let zone = Zone::default()
        .text("good.test", "v=spf1 ip4:192.0.2.1 -all")
        .text("soft.test", "v=spf1 ~all")
        .text("two.test", "v=spf1 +all")
        .text("two.test", "v=spf1 -all")
        .text("includes.test", "v=spf1 include:silent.test +all")
        .text("includes-two.test", "v=spf1 include:two.test +all")
        .text("other.test", "not spf")
        .otherwise("servfail.test", Otherwise::Error(ResponseCode::ServFail))
        .otherwise("refused.test", Otherwise::Error(ResponseCode::Refused))
        .otherwise("silent.test", Otherwise::Silence);
    let dns = Dns::start(zone).await;
    let verifier = Verifier::new(Config::default(), dns.resolver());
    for (client, domain, expected) in [
        ("192.0.2.1", "good.test", "pass"),
        ("::ffff:192.0.2.1", "good.test", "pass"),
        ("192.0.2.2", "good.test", "fail"),
        ("192.0.2.2", "soft.test", "softfail"),
        ("192.0.2.2", "two.test", "permerror"),
        ("192.0.2.2", "includes-two.test", "permerror"),
        ("192.0.2.2", "other.test", "none"),
        ("192.0.2.2", "nothing.test", "none"),
        ("192.0.2.2", "servfail.test", "temperror"),
        ("192.0.2.2", "refused.test", "temperror"),
        ("192.0.2.2", "silent.test", "temperror"),
        ("192.0.2.2", "includes.test", "temperror"),
    ] {
        let session = session(client, "client.test");
        let found = verifier
            .sender(&session, &from(&format!("a@{domain}")))
            .await;
        assert_eq!(outcomes(&found.results, "spf"), [expected], "{domain}");
        let spf = &found.results[1];
        assert_eq!(spf.property, format!("smtp.mailfrom={domain}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spf_of_records_that_lead_to_others() {
    let mut zone = Zone::default();
    for (name, record) in [
        ("yes.test", "v=spf1 +all"),
        ("no.test", "v=spf1 -all"),
        ("inner.test", "v=spf1 include:yes.test -all"),
        ("unsure.test", "v=spf1 ?include:inner.test -all"),
        ("excludes.test", "v=spf1 -include:inner.test +all"),
        ("denied.test", "v=spf1 include:no.test ~all"),
        ("nowhere.test", "v=spf1 include:nothing.test +all"),
        ("moved.test", "v=spf1 redirect=inner.test"),
        ("astray.test", "v=spf1 redirect=nothing.test"),
        ("all-wins.test", "v=spf1 ?all redirect=no.test"),
        ("circle.test", "v=spf1 include:circle.test +all"),
        ("slip.test", "v=spf1 +all exists:%{x}.test"),
        ("two-void.test", "v=spf1 a:a.void.test mx:b.void.test +all"),
        (
            "void.test",
            "v=spf1 a:a.void.test mx:b.void.test exists:c.void.test +all",
        ),
        ("mx-void.test", "v=spf1 mx:many.test +all"),
        ("by-user.test", "v=spf1 exists:%{l}.users.test -all"),
        ("by-helo.test", "v=spf1 exists:%{h}.helo.test -all"),
        ("mapped.test", "v=spf1 ip6:::ffff:192.0.2.0/120 -all"),
        (
            "ten.test",
            "v=spf1 a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test a:h.test +all",
        ),
        ("eleven.test", "v=spf1 a:h.test include:ten.test ?all"),
    ] {
        zone = zone.text(name, record);
    }
    for n in 0..3 {
        zone = zone.mx("many.test", n, &format!("mx{n}.void.test"));
    }
    let address = |text: &str| text.parse().unwrap();
    let zone = zone
        .address("h.test", address("198.51.100.1"))
        .address("bob.users.test", address("127.0.0.2"))
        .address("[192.0.2.1].helo.test", address("127.0.0.2"));
    let dns = Dns::start(zone).await;
    let verifier = Verifier::new(Config::default(), dns.resolver());
    for (sender, expected) in [
        // Of an include only the qualifier of its own counts (§5.2).
        ("a@inner.test", "pass"),
        ("a@unsure.test", "neutral"),
        ("a@excludes.test", "fail"),
        ("a@denied.test", "softfail"),
        ("a@nowhere.test", "permerror"),
        ("a@moved.test", "pass"),
        ("a@astray.test", "permerror"),
        ("a@all-wins.test", "neutral"),
        ("a@circle.test", "permerror"),
        ("a@slip.test", "permerror"),
        ("a@two-void.test", "pass"),
        ("a@void.test", "permerror"),
        ("a@mx-void.test", "permerror"),
        ("a@ten.test", "pass"),
        ("a@eleven.test", "permerror"),
        ("bob@by-user.test", "pass"),
        ("eve@by-user.test", "fail"),
        // RFC 8616 §4
        ("b\u{f6}b@by-user.test", "fail"),
        // No name that could be asked for: there is none (§4.8).
        ("\"b..b\"@by-user.test", "fail"),
        ("a@by-helo.test", "pass"),
        ("a@mapped.test", "fail"),
    ] {
        let session = session("192.0.2.1", "[192.0.2.1]");
        let found = verifier.sender(&session, &from(sender)).await;
        assert_eq!(outcomes(&found.results, "spf"), [expected], "{sender}");
    }
}
