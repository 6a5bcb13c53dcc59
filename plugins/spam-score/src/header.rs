//! Rules on the header: what is missing, odd or forged in it, and what speaks for the message.
//! Results of sender authentication are in `authentication`.

use crate::address::{Mailbox, address_within, site};
use crate::date;
use crate::engine::{Body, Engine, Findings, listed};
use crate::message::Message;
use crate::rules::Rule;
use crate::text::{contains, quote, starts_with, undisguise};

pub(crate) fn apply(
    engine: &Engine,
    message: &Message,
    body: &Body<'_>,
    findings: &mut Findings<'_>,
) {
    let from = Mailbox::parse(message.from.as_deref().unwrap_or_default());
    identification(engine, message, findings);
    sender(engine, message, &from, findings);
    subject(engine, message, findings);
    recipients(engine, message, &from, findings);
    software(message, findings);
    in_favour(message, body, findings);
}

fn identification(engine: &Engine, message: &Message, findings: &mut Findings<'_>) {
    match message.field("Message-ID") {
        None | Some("") => findings.give(Rule::NoMessageId),
        Some(id) => {
            let whole = id.starts_with('<')
                && id.ends_with('>')
                && id.contains('@')
                && !id.contains("@>")
                && !id.starts_with("<@");
            findings.give_if(!whole, Rule::OddMessageId);
        }
    }
    let Some(value) = message.field("Date").filter(|value| !value.is_empty()) else {
        findings.give(Rule::NoDate);
        return;
    };
    let Some(date) = date::parse(value) else {
        findings.because(
            Rule::OddDate,
            format!("its Date cannot be read: \"{}\"", quote(value)),
        );
        return;
    };
    // The closest of the times that servers noted: old mail that is sent on today keeps its Date.
    let off = message
        .all("Received")
        .filter_map(|received| date::parse(received.rsplit_once(';')?.1))
        .map(|received| (date - received).abs() / 3_600)
        .min();
    if let Some(hours) = off.filter(|hours| *hours > i64::from(engine.limits.date_hours)) {
        findings.because(
            Rule::DateOff,
            format!("its Date is {hours} hours from the time it was sent"),
        );
    }
}

fn sender(engine: &Engine, message: &Message, from: &Mailbox, findings: &mut Findings<'_>) {
    if from.address.is_empty() {
        findings.give(Rule::NoFrom);
        return;
    }
    let domain = from.domain();
    if let Some(named) = address_within(&from.name) {
        let other = named.rsplit_once('@').map_or("", |(_, domain)| domain);
        if !site(other).eq_ignore_ascii_case(site(domain)) && !message.is_list() {
            findings.because(
                Rule::FromForgedName,
                format!(
                    "the name in From is {}, the address is of {}",
                    quote(named),
                    quote(domain)
                ),
            );
        }
    }
    let digits = from.local_part().bytes().filter(u8::is_ascii_digit).count();
    let letters = from
        .local_part()
        .bytes()
        .filter(u8::is_ascii_alphabetic)
        .count();
    // Services number their senders; people's addresses have a year at the most.
    findings.give_if(
        digits >= 4
            && letters >= 3
            && !message.is_list()
            && !message.can_unsubscribe()
            && !from.local_part().contains(['+', '=', '-']),
        Rule::FromManyDigits,
    );

    let reply_to = Mailbox::parse(message.reply_to.as_deref().unwrap_or_default());
    let reply_domain = reply_to.domain();
    if !reply_domain.is_empty()
        && !site(reply_domain).eq_ignore_ascii_case(site(domain))
        && !message.is_list()
    {
        let rule = if listed(&engine.lists.freemail, reply_domain) {
            Rule::ReplyToFreemail
        } else {
            Rule::ReplyToElsewhere
        };
        findings.because(
            rule,
            format!(
                "answers go to {}, not to {}",
                quote(reply_domain),
                quote(domain)
            ),
        );
    }
}

/// Characters of the subject that are looked at: no honest one is longer.
const SUBJECT: usize = 1000;

fn subject(engine: &Engine, message: &Message, findings: &mut Findings<'_>) {
    let subject = message.subject.as_deref().unwrap_or_default();
    let end = subject.char_indices().nth(SUBJECT).map(|(at, _)| at);
    let subject = end.and_then(|end| subject.get(..end)).unwrap_or(subject);
    if subject.trim().is_empty() {
        findings.give(Rule::SubjectEmpty);
        return;
    }
    let raw = message
        .fields
        .iter()
        .any(|field| field.broken && field.name.eq_ignore_ascii_case("Subject"));
    findings.give_if(raw, Rule::SubjectRaw);
    let bare = without_tags(subject);
    let lower = bare.chars().filter(|c| c.is_lowercase()).count();
    let upper = bare.chars().filter(|c| c.is_uppercase()).count();
    findings.give_if(upper >= 8 && lower * 8 <= upper, Rule::SubjectCaps);
    let octets = bare.as_bytes();
    let shouts = octets
        .windows(2)
        .any(|pair| matches!(pair, b"$$" | b"**" | b"??"))
        || bare.matches('!').count() >= 2;
    findings.give_if(shouts, Rule::SubjectShouts);
    // Blanks to push the end, mostly a serial number, out of sight.
    let trimmed = bare.trim();
    let padded = trimmed.as_bytes().windows(4).any(|four| four == b"    ")
        || trimmed.contains('\t') && !subject_is_folded(message);
    findings.give_if(padded, Rule::SubjectPadded);

    let letters = undisguise(subject);
    if let Some(word) = engine.lists.disguised.iter().find(|word| {
        memchr::memmem::find(letters.as_bytes(), word.as_bytes()).is_some()
            && !subject.to_lowercase().contains(word.as_str())
            && is_disguised(subject, word)
    }) {
        findings.because(
            Rule::SubjectDisguised,
            format!("\"{word}\" is disguised in the subject"),
        );
    }
    let answers =
        message.has("In-Reply-To") || message.has("References") || message.has("Thread-Index");
    let reply = ["re:", "re[", "aw:", "sv:"]
        .iter()
        .any(|prefix| starts_with(bare.trim_start(), prefix));
    findings.give_if(reply && !answers && !message.is_list(), Rule::FakeReply);
}

/// Without the "[list]" in front, which is no choice of the sender.
fn without_tags(subject: &str) -> &str {
    let trimmed = subject.trim_start();
    match trimmed
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((tag, rest)) if tag.len() <= 40 => rest,
        _ => trimmed,
    }
}

fn subject_is_folded(message: &Message) -> bool {
    message
        .field("Subject")
        .is_some_and(|value| value.contains('\n'))
}

/// "the odd analysis" holds a disguised word by chance, across its words: take it only if digits or signs stand for letters,
/// or single letters stand apart.
fn is_disguised(subject: &str, word: &str) -> bool {
    let mut run = String::new();
    let mut single = 0;
    for piece in subject.split_whitespace() {
        if undisguise(piece).contains(word) {
            return true;
        }
        if piece
            .chars()
            .filter(|c| c.is_alphanumeric() || "@$!|".contains(*c))
            .count()
            <= 2
        {
            run.push_str(&undisguise(piece));
            single += 1;
            if single >= 3 && run.contains(word) {
                return true;
            }
        } else {
            run.clear();
            single = 0;
        }
    }
    false
}

fn recipients(engine: &Engine, message: &Message, from: &Mailbox, findings: &mut Findings<'_>) {
    let to = message.field("To");
    match to {
        None | Some("") => {
            findings.give_if(!message.has("Cc") && !message.is_list(), Rule::NoTo);
        }
        Some(to) => {
            findings.give_if(
                contains(to, "undisclosed") || !to.contains('@') && to.contains(':'),
                Rule::Undisclosed,
            );
        }
    }
    let named = to
        .into_iter()
        .chain(message.field("Cc"))
        .map(|value| value.matches('@').count())
        .sum::<usize>();
    findings.give_if(named >= engine.limits.recipients, Rule::ManyRecipients);
    let own = !from.address.is_empty()
        && message
            .recipients
            .iter()
            .any(|recipient| recipient.eq_ignore_ascii_case(&from.address));
    findings.give_if(own && !message.authenticated, Rule::FromIsRecipient);
}

fn software(message: &Message, findings: &mut Findings<'_>) {
    let urgent = message
        .field("X-Priority")
        .is_some_and(|value| value.starts_with(['1', '2']))
        || message
            .field("Importance")
            .is_some_and(|value| value.eq_ignore_ascii_case("high"))
        || message
            .field("X-MSMail-Priority")
            .is_some_and(|value| value.eq_ignore_ascii_case("high"));
    findings.give_if(urgent, Rule::HighPriority);
    // Outlook Express always names its MIME library too.
    let outlook = message
        .field("X-Mailer")
        .is_some_and(|value| starts_with(value, "Microsoft Outlook Express"));
    findings.give_if(
        outlook && !message.has("X-MimeOLE") && !message.is_list(),
        Rule::ForgedOutlook,
    );
    findings.give_if(
        (message.has("Content-Transfer-Encoding")
            || message
                .field("Content-Type")
                .is_some_and(|value| value.contains(';')))
            && !message.has("MIME-Version"),
        Rule::NoMimeVersion,
    );
    let bulk = message
        .field("Precedence")
        .is_some_and(|value| contains(value, "bulk") || contains(value, "junk"));
    findings.give_if(
        bulk && !message.can_unsubscribe() && !message.is_list() && !message.is_report(),
        Rule::BulkNoUnsubscribe,
    );
}

fn in_favour(message: &Message, body: &Body<'_>, findings: &mut Findings<'_>) {
    findings.give_if(
        message.has("List-Id") && (message.can_unsubscribe() || message.has("List-Post")),
        Rule::ListMail,
    );
    let answers = message.has("In-Reply-To") || message.has("References");
    let quotes = || {
        let mut lines = body.plain.iter().flat_map(|text| text.lines());
        lines.any(|line| line.starts_with('>'))
    };
    let subject = message.subject.as_deref().is_some_and(|subject| {
        ["re:", "aw:", "sv:", "automatic reply"]
            .iter()
            .any(|prefix| starts_with(without_tags(subject).trim_start(), prefix))
    });
    findings.give_if(answers && (subject || quotes()), Rule::IsReply);
    findings.give_if(message.is_report(), Rule::IsReport);
}
