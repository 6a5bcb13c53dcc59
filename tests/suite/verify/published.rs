//! The published test sets for SPF (openspf.org) and ARC (ValiMail), where they are there: a directory `mail-auth` beside the checkout, or
//! the one that WASMILTER_MAIL_AUTH names. They are other people's work and not part of this repository. The set for signing
//! (`arc-draft-sign-tests.yml`) is not run: nothing here signs.

use super::checks::session;
use crate::support::dns::{Dns, Otherwise, Zone};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_yaml_ng::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use wasmilter::mail::{Address, Content, Envelope, ReversePath};
use wasmilter::verify::{Config, Verifier};

/// A mapping as written: some have a key twice.
struct Pairs<V>(Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Visit<V> {
            type Value = Pairs<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Visit(PhantomData))
    }
}

#[derive(serde::Deserialize)]
struct SpfSet {
    tests: Pairs<SpfCase>,
    zonedata: Pairs<Vec<Value>>,
}

#[derive(serde::Deserialize)]
struct SpfCase {
    helo: String,
    host: String,
    mailfrom: String,
    result: OneOrMore,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ArcSet {
    tests: Pairs<ArcCase>,
    txt_records: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
struct ArcCase {
    message: String,
    cv: Option<String>,
}

fn set(name: &str) -> Option<String> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/mail-auth");
    let directory = std::env::var_os("WASMILTER_MAIL_AUTH").map_or_else(beside, PathBuf::from);
    let text = std::fs::read_to_string(directory.join(name)).ok();
    if text.is_none() {
        eprintln!("skipped: {name} is not in {}", directory.display());
    }
    text
}

fn documents<T: for<'de> Deserialize<'de>>(text: &str) -> Vec<T> {
    let documents = serde_yaml_ng::Deserializer::from_str(text);
    let values = documents.map(|document| Option::<T>::deserialize(document).unwrap());
    values.flatten().collect()
}

/// The files write octets as characters up to U+00FF.
fn octets(text: &str) -> Vec<u8> {
    text.chars().map(|c| c as u8).collect()
}

fn zone(data: &Pairs<Vec<Value>>) -> Zone {
    let mut zone = Zone::default();
    for (name, records) in &data.0 {
        // "SPF" records are the same as TXT unless those are given (RFC 7208 has no type SPF).
        let is = |value: &Value, kind: &str| value.get(kind).is_some();
        let has_txt = records.iter().any(|record| is(record, "TXT"));
        for record in records {
            if record.as_str() == Some("TIMEOUT") {
                zone = zone.otherwise(name, Otherwise::Silence);
                continue;
            }
            let record = record.as_mapping().unwrap();
            let (kind, value) = record.iter().next().unwrap();
            let text = || value.as_str().unwrap();
            zone = match kind.as_str().unwrap() {
                "SPF" if has_txt => zone,
                "TXT" if value.as_str() == Some("NONE") => zone,
                "TXT" | "SPF" => {
                    let strings: Vec<_> = match value {
                        Value::Sequence(strings) => strings
                            .iter()
                            .map(|s| octets(s.as_str().unwrap()))
                            .collect(),
                        value => vec![octets(value.as_str().unwrap())],
                    };
                    let strings: Vec<_> = strings.iter().map(Vec::as_slice).collect();
                    zone.txt(name, &strings)
                }
                "A" | "AAAA" => zone.address(name, text().parse().unwrap()),
                "MX" => {
                    let preference = value[0].as_u64().unwrap() as u16;
                    zone.mx(name, preference, value[1].as_str().unwrap())
                }
                "PTR" => {
                    // Written for the address itself.
                    match name.parse() {
                        Ok(address) => {
                            let reverse = hickory_server::proto::rr::Name::from(
                                std::net::IpAddr::clone(&address),
                            );
                            zone.pointer(&reverse.to_string(), text())
                        }
                        Err(_) => zone.pointer(name, text()),
                    }
                }
                "CNAME" => zone.cname(name, text()),
                other => panic!("a record of type {other}"),
            };
        }
    }
    zone
}

/// Cases with other results than published, and why.
const SPF_7208: &[(&str, &str)] = &[(
    "null-text",
    "a TXT record of no strings, which RFC 1035 doesn't allow, is a broken answer",
)];

const ARC: &[(&str, &str)] = &[
    (
        "ams_fields_c_na",
        "the library takes relaxed for the default of c=",
    ),
    ("ams_fields_h_empty", "the library wants h= to name a field"),
];

/// Compares what failed with what is known to fail, both ways.
fn compare(set: &str, total: usize, failed: Vec<(String, String)>, known: &[(&str, &str)]) {
    eprintln!("{set}: {} of {total} as published", total - failed.len());
    let names: Vec<_> = failed.iter().map(|(name, _)| name.as_str()).collect();
    let news: Vec<_> = failed
        .iter()
        .filter(|(name, _)| !known.iter().any(|(known, _)| known == name))
        .map(|(name, what)| format!("{name}: {what}"))
        .collect();
    let mended: Vec<_> = known
        .iter()
        .filter(|(known, _)| !names.contains(known))
        .collect();
    assert!(
        news.is_empty() && mended.is_empty(),
        "{set}: not as published, and not known:\n  {}\nknown to fail, but right: {mended:?}",
        news.join("\n  ")
    );
}

async fn spf(file: &str, known: &[(&str, &str)]) {
    let Some(text) = set(file) else {
        return;
    };
    let mut failed = Vec::new();
    let mut total = 0;
    for set in documents::<SpfSet>(&text) {
        let dns = Dns::start(zone(&set.zonedata)).await;
        let verifier = Verifier::new(Config::default(), dns.resolver());
        for (name, case) in set.tests.0 {
            total += 1;
            let expected = match case.result {
                OneOrMore::One(result) => vec![result],
                OneOrMore::More(results) => results,
            };
            let session = session(&case.host, &case.helo);
            let sender = match case.mailfrom.as_str() {
                "" => ReversePath::Null,
                text => match Address::parse(text) {
                    Ok(address) => ReversePath::Address(address),
                    // Refused at MAIL already: it gets no further.
                    Err(_) => continue,
                },
            };
            let envelope = Envelope {
                sender,
                ..Envelope::default()
            };
            let found = verifier.sender(&session, &envelope).await;
            let spf = found.results.iter().find(|found| found.method == "spf");
            let outcome = spf.unwrap().outcome.clone();
            if !expected.contains(&outcome) {
                failed.push((name, format!("{outcome}, not {expected:?}")));
            }
        }
    }
    compare(file, total, failed, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn spf_of_rfc_7208() {
    spf("rfc7208-tests.yml", SPF_7208).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spf_of_rfc_4408() {
    spf("rfc4408-tests.yml", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arc_validation() {
    let file = "arc-draft-validation-tests.yml";
    let Some(text) = set(file) else {
        return;
    };
    let mut failed = Vec::new();
    let mut total = 0;
    for set in documents::<ArcSet>(&text) {
        let mut zone = Zone::default();
        for (name, text) in &set.txt_records {
            zone = zone.text(name, text);
        }
        let dns = Dns::start(zone).await;
        let verifier = Verifier::new(Config::default(), dns.resolver());
        for (name, case) in set.tests.0 {
            total += 1;
            // Some say nothing: both are right.
            let expected = case.cv.unwrap_or_default().to_lowercase();
            let message = Content::from_bytes(case.message.replace('\n', "\r\n"));
            let found = verifier
                .message(Default::default(), &message)
                .await
                .unwrap();
            let arc = found.results.iter().find(|found| found.method == "arc");
            let arc = arc.unwrap();
            if !expected.is_empty() && arc.outcome != expected {
                let why = arc.reason.clone().unwrap_or_default();
                failed.push((name, format!("{} ({why}), not {expected}", arc.outcome)));
            }
        }
    }
    compare(file, total, failed, ARC);
}
