//! `dns`: names looked up, and DNS lists asked (RFC 5782).

use crate::dns::Kind;
use crate::plugin::abi::generated::dns::{Host, Kind as GuestKind};
use crate::plugin::abi::generated::types::Refusal;
use crate::plugin::calls::Service;
use crate::plugin::capability::Ability;
use crate::plugin::state::{Refused, State, nothing_yet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Of one call, whatever the resolver still has in mind.
const DEADLINE: Duration = Duration::from_secs(1);

/// RFC 1035 §2.3.4, without the final dot.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

fn kind(kind: GuestKind) -> Kind {
    match kind {
        GuestKind::A => Kind::A,
        GuestKind::Aaaa => Kind::Aaaa,
        GuestKind::Mx => Kind::Mx,
        GuestKind::Txt => Kind::Txt,
        GuestKind::Ptr => Kind::Ptr,
    }
}

/// A name that can be asked for, without its final dot.
fn name(text: &str) -> Result<&str, Refused> {
    let name = text.strip_suffix('.').unwrap_or(text);
    // Names of hosts, and those with which services and lists are asked; what is not ASCII is encoded by the resolver (RFC 5890).
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '/');
    let is_label = |label: &str| (1..=MAX_LABEL).contains(&label.len()) && label.chars().all(fine);
    if name.len() > MAX_NAME || !name.split('.').all(is_label) {
        return Err(Refused::BadValue(format!("{text:?} is not a domain name")));
    }
    Ok(name)
}

fn address(text: &str) -> Result<IpAddr, Refused> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| Refused::BadValue(format!("{text:?} is not an IP address: ptr needs one")))?;
    Ok(address.to_canonical())
}

/// RFC 5782 §2.1 and §2.4 for addresses, §2.2 for domains.
fn listing(zone: &str, what: &str) -> Result<String, Refused> {
    let zone = name(zone)?;
    let question = match what.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.{zone}")
        }
        Ok(IpAddr::V6(address)) => {
            let nibbles = address
                .octets()
                .into_iter()
                .rev()
                .flat_map(|octet| [octet & 15, octet >> 4]);
            let labels: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            format!("{labels}{zone}")
        }
        Err(_) => format!("{}.{zone}", name(what)?),
    };
    name(&question)?;
    Ok(question)
}

/// RFC 5782 §2.1: what lists answer is in 127.0.0.0/8. Another answer is that of a parked domain, or of a resolver that answers for all.
fn is_listing(record: &str) -> bool {
    record
        .parse::<Ipv4Addr>()
        .is_ok_and(|address| address.is_loopback())
}

impl State {
    async fn resolve(
        &mut self,
        what: &'static str,
        question: Result<(String, Kind), Refused>,
    ) -> Result<Vec<String>, Refused> {
        if self.view().is_none() {
            return Err(nothing_yet());
        }
        let (name, kind) = question?;
        self.allow(Ability::Dns, &name)?;
        self.calls().spend(Service::Dns)?;
        let started = self.calls().begin(what, &format!("{} {name}", kind.name()));
        let dns = self.profile().services.dns.clone();
        let result = match dns {
            None => Err("there is no DNS here".to_owned()),
            Some(dns) => {
                let lookup = tokio::time::timeout(DEADLINE, dns.lookup(&name, kind));
                let late = |_| Err(format!("no answer within {} s", DEADLINE.as_secs()));
                lookup.await.unwrap_or_else(late)
            }
        };
        self.calls().end(started, || match &result {
            Ok(records) if records.is_empty() => "none".to_owned(),
            Ok(records) => records.join(", "),
            Err(error) => format!("failed: {error}"),
        });
        result.map_err(Refused::Failed)
    }
}

impl Host for State {
    async fn lookup(&mut self, text: String, asked: GuestKind) -> Result<Vec<String>, Refusal> {
        self.count();
        let question = match kind(asked) {
            Kind::Ptr => address(&text).map(|address| (address.to_string(), Kind::Ptr)),
            kind => name(&text).map(|name| (name.to_owned(), kind)),
        };
        let result = self.resolve("dns.lookup", question).await;
        self.answer("dns.lookup", result)
    }

    async fn listed(&mut self, zone: String, what: String) -> Result<Vec<String>, Refusal> {
        self.count();
        let question = listing(&zone, &what).map(|name| (name, Kind::A));
        let mut result = self.resolve("dns.listed", question).await;
        if let Ok(records) = &mut result {
            records.retain(|record| is_listing(record));
        }
        self.answer("dns.listed", result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_of_lists() {
        for (what, question) in [
            ("192.0.2.99", "99.2.0.192.bl.example"),
            ("::ffff:192.0.2.99", "99.2.0.192.bl.example"),
            ("example.org", "example.org.bl.example"),
            ("example.org.", "example.org.bl.example"),
            // RFC 5782 §2.4
            (
                "2001:db8:1:2:3:4:567:89ab",
                "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example",
            ),
        ] {
            assert_eq!(listing("bl.example", what).unwrap(), question, "{what}");
        }
        assert!(listing("", "192.0.2.1").is_err());
        assert!(listing("bl.example", &"a.".repeat(125)).is_err());
    }

    #[test]
    fn only_names_are_asked_for() {
        for good in [
            "example.org",
            "_dmarc.example.org.",
            "bücher.example",
            "0/25.2.0.192.in-addr.arpa",
        ] {
            assert!(name(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            ".",
            "a..b",
            "a b",
            "a\r\nb",
            "a\\.b",
            "@",
            long.as_str(),
            "\0",
        ] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert!(address("example.org").is_err());
    }

    #[test]
    fn answers_of_others_are_no_listing() {
        assert!(is_listing("127.0.0.2") && is_listing("127.255.255.254"));
        assert!(!is_listing("192.0.2.1") && !is_listing("::1") && !is_listing(""));
    }
}
