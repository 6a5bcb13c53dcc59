//! Rules on links: where they lead, and whether they say so.
//! Reads what `html` and `url` found; fetches nothing.

use crate::address::{Mailbox, site};
use crate::engine::{Body, Engine, Findings, listed};
use crate::message::Message;
use crate::rules::Rule;
use crate::text::quote;
use crate::url::{self, Url};

pub(crate) fn apply(
    engine: &Engine,
    message: &Message,
    body: &Body<'_>,
    findings: &mut Findings<'_>,
) {
    let mut seen = Seen::default();
    for text in &body.plain {
        for url in url::in_text(text) {
            seen.url(engine, &url);
        }
    }
    let from = Mailbox::parse(message.from.as_deref().unwrap_or_default());
    for html in &body.html {
        for link in &html.links {
            let Some(url) = Url::parse(&link.href) else {
                continue;
            };
            seen.url(engine, &url);
            // Newsletters count clicks: their links go by way of their own server.
            let own = message.can_unsubscribe()
                || message.is_list()
                || site(url.host).eq_ignore_ascii_case(site(from.domain()));
            if let Some(named) = url::named_host(&link.text).filter(|_| !own)
                && !site(named).eq_ignore_ascii_case(site(url.host))
                && seen.elsewhere.is_none()
            {
                seen.elsewhere = Some(format!(
                    "a link says {} and leads to {}",
                    quote(named),
                    quote(url.host)
                ));
            }
        }
        for url in html.other.iter().filter_map(|text| Url::parse(text)) {
            seen.url(engine, &url);
        }
    }
    seen.report(engine, findings);
}

#[derive(Default)]
struct Seen {
    sites: Vec<String>,
    elsewhere: Option<String>,
    ip: Option<String>,
    shortener: Option<String>,
    punycode: Option<String>,
    tld: Option<String>,
    odd: Option<String>,
}

impl Seen {
    fn url(&mut self, engine: &Engine, url: &Url<'_>) {
        let note = |slot: &mut Option<String>| {
            slot.get_or_insert_with(|| quote(url.host));
        };
        if url.is_odd() {
            note(&mut self.odd);
        }
        if url.is_ip() {
            if !url.is_private() {
                note(&mut self.ip);
            }
            return;
        }
        let site = site(url.host);
        if self
            .sites
            .iter()
            .any(|seen| seen.eq_ignore_ascii_case(site))
        {
            return;
        }
        if listed(&engine.lists.shorteners, url.host) {
            note(&mut self.shortener);
        }
        if url.is_punycode() {
            note(&mut self.punycode);
        }
        if listed(&engine.lists.tlds, url.tld()) {
            note(&mut self.tld);
        }
        // More would only be counted.
        if self.sites.len() < engine.limits.hosts {
            self.sites.push(site.to_owned());
        }
    }

    fn report(self, engine: &Engine, findings: &mut Findings<'_>) {
        if let Some(reason) = self.elsewhere {
            findings.because(Rule::LinkElsewhere, reason);
        }
        for (host, rule) in [
            (self.ip, Rule::UrlIp),
            (self.shortener, Rule::UrlShortener),
            (self.punycode, Rule::UrlPunycode),
            (self.tld, Rule::UrlTld),
            (self.odd, Rule::UrlOdd),
        ] {
            if let Some(host) = host {
                findings.because(rule, format!("{}: {host}", rule.reason()));
            }
        }
        findings.give_if(self.sites.len() >= engine.limits.hosts, Rule::UrlManyHosts);
    }
}
