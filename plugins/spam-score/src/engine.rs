//! A configuration made ready, and the run of all rules over a message.
//! The rules themselves are in the modules named after what they look at.

use crate::config::{Config, Limits, Lists, Place};
use crate::html::{self, Html};
use crate::message::Message;
use crate::normal::Normal;
use crate::phrases::Phrases;
use crate::rules::{Rule, Symbol};
use crate::{attachments, authentication, header, links};

#[derive(Debug)]
pub struct Engine {
    pub(crate) limits: Limits,
    pub(crate) lists: Lists,
    points: Vec<f32>,
    phrases: Phrases,
}

/// What the text parts of a message hold, read once for all rules.
#[derive(Debug, Default)]
pub(crate) struct Body<'a> {
    pub plain: Vec<&'a str>,
    pub html: Vec<Html>,
    /// Attachments give an archive's password beside them.
    pub archive_password: bool,
}

/// The symbols given so far.
pub(crate) struct Findings<'a> {
    points: &'a [f32],
    symbols: Vec<Symbol>,
}

impl Findings<'_> {
    pub fn give(&mut self, rule: Rule) {
        self.because(rule, rule.reason().to_owned());
    }

    pub fn give_if(&mut self, condition: bool, rule: Rule) {
        if condition {
            self.give(rule);
        }
    }

    /// With a reason closer to the message than the rule's own.
    pub fn because(&mut self, rule: Rule, reason: String) {
        let points = self.points.get(rule as usize).copied().unwrap_or(0.0);
        if points != 0.0 {
            self.symbols.push(Symbol {
                name: rule.name().to_owned(),
                points,
                reason,
            });
        }
    }
}

impl Engine {
    pub fn new(config: Config) -> Result<Self, String> {
        let mut points = vec![0.0; Rule::ALL.len()];
        for (name, score) in &config.scores {
            let rule = Rule::ALL.iter().find(|rule| rule.name() == name).ok_or_else(|| {
                format!("[config.scores]: there is no rule {name}; phrases have their points in [config.phrases.{name}]")
            })?;
            if let Some(slot) = points.get_mut(*rule as usize) {
                *slot = *score;
            }
        }
        for (name, group) in &config.phrases {
            if Rule::ALL.iter().any(|rule| rule.name() == name) {
                return Err(format!(
                    "[config.phrases.{name}]: {name} is the name of a rule in code; take another"
                ));
            }
            let symbol = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
            if name.is_empty() || name.len() > 64 || !name.bytes().all(symbol) {
                return Err(format!(
                    "[config.phrases.{name}]: a symbol is made of A-Z, 0-9 and _, 64 at the most"
                ));
            }
            if group.any.is_empty() {
                return Err(format!("[config.phrases.{name}]: `any` lists no phrase"));
            }
        }
        if config.scores.is_empty() && config.phrases.is_empty() {
            return Err("[config] gives no points to any rule: start from the plugin.toml that comes with this plugin".into());
        }
        let mut lists = config.lists;
        lists.make_ready();
        Ok(Self {
            phrases: Phrases::new(config.phrases, &lists.archive_password)?,
            limits: config.limits,
            lists,
            points,
        })
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The symbols of a message, in the order of the rules.
    pub fn examine(&self, message: &Message) -> Vec<Symbol> {
        let mut body = read(message);
        let mut found = self.phrases.nothing();
        let mut normal = Normal::default();
        normal.append(message.subject.as_deref().unwrap_or_default());
        self.phrases.find(&normal, Place::Subject, &mut found);
        normal.clear();
        for text in body
            .plain
            .iter()
            .copied()
            .chain(body.html.iter().map(|html| html.visible.as_str()))
        {
            normal.append(text);
        }
        self.phrases.find(&normal, Place::Body, &mut found);
        body.archive_password = found.archive_password;

        let mut findings = Findings {
            points: &self.points,
            symbols: Vec::new(),
        };
        header::apply(self, message, &body, &mut findings);
        authentication::apply(message, &mut findings);
        html_rules(message, &body, &mut findings);
        links::apply(self, message, &body, &mut findings);
        attachments::apply(self, message, &body, &mut findings);
        let mut symbols = findings.symbols;
        symbols.extend(
            self.phrases
                .symbols(&found, self.weight(normal.octets().len()))
                .filter(|symbol| symbol.points != 0.0),
        );
        symbols
    }
}

impl Engine {
    /// A long text holds any phrase by chance.
    #[allow(clippy::cast_precision_loss)]
    fn weight(&self, length: usize) -> f32 {
        let full = self.limits.phrase_text;
        if length > full {
            full as f32 / length as f32
        } else {
            1.0
        }
    }
}

fn read(message: &Message) -> Body<'_> {
    let mut body = Body::default();
    for part in &message.parts {
        let Some(text) = part.text.as_deref() else {
            continue;
        };
        if part.media_type == "text/html" {
            body.html.push(html::read(text));
        } else {
            body.plain.push(text);
        }
    }
    body
}

/// Letters to be seen from which a message is more than a picture.
const TEXT_BESIDE_PICTURE: usize = 200;
/// Letters not to be seen from which they are no accident.
const HIDDEN: usize = 40;
/// A newsletter's hidden preview line may be so long.
const PREVIEW: usize = 400;

fn html_rules(message: &Message, body: &Body<'_>, findings: &mut Findings<'_>) {
    let plain = body.plain.iter().any(|text| !text.trim().is_empty());
    findings.give_if(!body.html.is_empty() && !plain, Rule::HtmlOnly);
    let sum = |of: fn(&Html) -> usize| body.html.iter().map(of).sum::<usize>();
    let dark = body.html.iter().any(|html| html.dark);
    let hidden = sum(|html| html.hidden);
    let allowed = if message.can_unsubscribe() {
        PREVIEW
    } else {
        HIDDEN
    };
    findings.give_if(hidden > allowed, Rule::HtmlHiddenText);
    findings.give_if(!dark && sum(|html| html.white) > 12, Rule::HtmlWhiteText);
    findings.give_if(sum(|html| html.splits) >= 2, Rule::HtmlSplitWords);
    findings.give_if(sum(|html| html.encoded) >= 10, Rule::HtmlEncodedLetters);
    findings.give_if(sum(|html| html.forms) > 0, Rule::HtmlForm);
    findings.give_if(sum(|html| html.scripts) > 0, Rule::HtmlScript);
    findings.give_if(sum(|html| html.gaudy) >= 2, Rule::HtmlGaudy);
    let letters = sum(|html| html.visible.chars().filter(|c| c.is_alphanumeric()).count());
    let picture = sum(|html| html.images) > 0 && sum(|html| html.links.len()) > 0;
    findings.give_if(
        picture && !plain && letters < TEXT_BESIDE_PICTURE,
        Rule::HtmlImageOnly,
    );
    text_in_base64(message, findings);
}

/// English text has no need of base64 (RFC 2045 §6.8). It is seen by its size where the part has no header field here.
fn text_in_base64(message: &Message, findings: &mut Findings<'_>) {
    let of_message = message
        .field("Content-Transfer-Encoding")
        .map(|value| value.eq_ignore_ascii_case("base64"));
    let needless = message.parts.iter().any(|part| {
        let Some(text) = part.text.as_deref().filter(|text| text.len() >= 200) else {
            return false;
        };
        let is_base64 = match (part.path.as_str(), of_message) {
            ("1", Some(base64)) if message.parts.len() == 1 => base64,
            _ => {
                // 4 characters for 3 octets, and line ends.
                let (encoded, decoded) = (part.size, text.len() as u64);
                encoded * 100 > decoded * 132 && encoded * 100 < decoded * 141
            }
        };
        is_base64 && text.is_ascii()
    });
    findings.give_if(needless, Rule::TextBase64);
}

impl Lists {
    /// Lower case, without the dots that people write before extensions and domains.
    fn make_ready(&mut self) {
        let Self {
            freemail,
            shorteners,
            tlds,
            programs,
            macros,
            archives,
            documents,
            disguised,
            archive_password: _,
        } = self;
        for list in [
            freemail, shorteners, tlds, programs, macros, archives, documents, disguised,
        ] {
            for word in list.iter_mut() {
                *word = word.trim().trim_start_matches('.').to_lowercase();
            }
            list.retain(|word| !word.is_empty());
            list.sort_unstable();
        }
    }
}

/// Whether a list that is ready has this word, in any case.
pub(crate) fn listed(list: &[String], word: &str) -> bool {
    if word.bytes().any(|b| b.is_ascii_uppercase()) {
        let word = word.to_ascii_lowercase();
        return list.binary_search(&word).is_ok();
    }
    list.binary_search_by(|entry| entry.as_str().cmp(word))
        .is_ok()
}

#[cfg(test)]
mod tests;
