//! What was found of a message, as clients of rspamd read it: action, score, symbols, and the changes for the mail server.
//! Does not judge.

use crate::accept::Screened;
use crate::chain::Policy;
use crate::ingress::changes::{Changes, Given};
use crate::mail::{Field, FieldChange, Header, Symbol, Verdict};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

/// Names as rspamd has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    NoAction,
    AddHeader,
    SoftReject,
    Reject,
    Discard,
    Quarantine,
}

impl Action {
    pub fn of(verdict: &Verdict, is_junk: bool) -> Self {
        match verdict {
            Verdict::Reject(_) => Self::Reject,
            Verdict::Tempfail(_) => Self::SoftReject,
            Verdict::Discard => Self::Discard,
            Verdict::Quarantine(_) => Self::Quarantine,
            Verdict::Continue | Verdict::Accept if is_junk => Self::AddHeader,
            Verdict::Continue | Verdict::Accept => Self::NoAction,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::NoAction => "no action",
            Self::AddHeader => "add header",
            Self::SoftReject => "soft reject",
            Self::Reject => "reject",
            Self::Discard => "discard",
            Self::Quarantine => "quarantine",
        }
    }
}

/// What the client is told.
pub struct Reply {
    pub action: Action,
    pub score: f64,
    /// The policy's thresholds; 0 where there is none.
    pub reject: f64,
    pub junk: f64,
    pub symbols: Vec<Symbol>,
    /// For the sender of a message that is refused, or why it is set aside.
    pub message: Option<String>,
    pub message_id: Option<String>,
    pub milter: Map<String, Value>,
}

impl Reply {
    /// Before there was a message to judge.
    pub fn refused(verdict: &Verdict, policy: Policy) -> Self {
        Self {
            action: Action::of(verdict, false),
            score: 0.0,
            reject: policy.reject.map_or(0.0, number),
            junk: policy.junk.map_or(0.0, number),
            symbols: Vec::new(),
            message: text(verdict),
            message_id: None,
            milter: Map::new(),
        }
    }

    /// What it cannot say is added to `missed`.
    pub fn judged(
        screened: &Screened,
        given: &Given,
        policy: Policy,
        missed: &mut Vec<String>,
    ) -> io::Result<Self> {
        let verdict = &screened.verdict;
        let goes_on = matches!(
            verdict,
            Verdict::Continue | Verdict::Accept | Verdict::Quarantine(_)
        );
        let changes = if goes_on {
            Changes::of(screened, given)?
        } else {
            Changes::default()
        };
        let header = screened.message.as_ref().map(|message| &message.header);
        let id = screened.received.nth("Message-ID", 1).map(Field::text);
        Ok(Self {
            action: Action::of(verdict, screened.junk.is_some()),
            score: number(screened.score()),
            symbols: screened.symbols().to_vec(),
            message_id: id.map(|id| id.trim_matches(['<', '>']).to_owned()),
            milter: milter(&changes, header.unwrap_or(&screened.received), missed),
            ..Self::refused(verdict, policy)
        })
    }

    /// The threshold that a message is measured by.
    pub fn required(&self) -> f64 {
        if self.reject > 0.0 {
            self.reject
        } else {
            self.junk
        }
    }

    /// Of `/checkv2`.
    pub fn json(&self, elapsed: Duration) -> Value {
        let symbols: Map<_, _> = self
            .symbols
            .iter()
            .map(|symbol| (symbol.name.clone(), self.symbol(&symbol.name)))
            .collect();
        let mut thresholds = Map::new();
        for (action, threshold) in [
            (Action::Reject, self.reject),
            (Action::AddHeader, self.junk),
        ] {
            if threshold != 0.0 {
                thresholds.insert(action.name().to_owned(), json!(threshold));
            }
        }
        let mut messages = Map::new();
        if let Some(text) = &self.message {
            messages.insert("smtp_message".to_owned(), json!(text));
        }
        let mut value = json!({
            "is_skipped": false,
            "score": self.score,
            "required_score": self.required(),
            "action": self.action.name(),
            "thresholds": thresholds,
            "symbols": symbols,
            "messages": messages,
            "message-id": self.message_id.as_deref().unwrap_or("undef"),
            "time_real": elapsed.as_secs_f64(),
        });
        if let (false, Some(value)) = (self.milter.is_empty(), value.as_object_mut()) {
            value.insert("milter".to_owned(), self.milter.clone().into());
        }
        value
    }

    /// One name may have been given more than once: the scores are added.
    fn symbol(&self, name: &str) -> Value {
        let same: Vec<_> = self
            .symbols
            .iter()
            .filter(|other| other.name == name)
            .collect();
        let score: f64 = same.iter().map(|symbol| number(symbol.score)).sum();
        let reasons = same.iter().map(|symbol| symbol.reason.as_str());
        let reasons: Vec<_> = reasons.filter(|reason| !reason.is_empty()).collect();
        let filter = same.first().map_or("", |symbol| symbol.by.as_str());
        json!({
            "name": name,
            "score": score,
            "metric_score": score,
            "description": format!("by the filter {filter}"),
            "options": reasons,
        })
    }

    /// Of the protocol before HTTP, which Exim speaks.
    pub fn lines(&self) -> String {
        let is_spam = matches!(self.action, Action::Reject | Action::AddHeader);
        let verdict = if is_spam { "True" } else { "False" };
        let (required, reject) = (self.required(), self.reject);
        let mut lines = format!(
            "RSPAMD/1.3 0 EX_OK\r\nMetric: default; {verdict}; {:.2} / {required:.2} / {reject:.2}\r\nAction: {}\r\n",
            self.score,
            self.action.name(),
        );
        for symbol in &self.symbols {
            let reason: String = symbol.reason.replace(['\r', '\n'], " ");
            lines.push_str(&format!(
                "Symbol: {}({:.2}); {reason}\r\n",
                symbol.name, symbol.score
            ));
        }
        if let Some(text) = &self.message {
            lines.push_str(&format!("Message: {text}\r\n"));
        }
        if let Some(id) = &self.message_id {
            lines.push_str(&format!("Message-ID: {id}\r\n"));
        }
        lines
    }
}

fn text(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Reject(reply) | Verdict::Tempfail(reply) => {
            let lines: Vec<_> = reply.lines.iter().map(|line| line.as_str()).collect();
            Some(lines.join(" "))
        }
        Verdict::Quarantine(why) => Some(why.replace(['\r', '\n'], " ")),
        Verdict::Continue | Verdict::Accept | Verdict::Discard => None,
    }
}

/// As it was written: 4.7, not 4.699999809265137.
fn number(score: f32) -> f64 {
    (f64::from(score) * 10_000.0).round() / 10_000.0
}

/// A field that is changed goes with all of its name, and what is left of them is added again: clients count them differently or not at all.
fn milter(changes: &Changes<'_>, header: &Header, missed: &mut Vec<String>) -> Map<String, Value> {
    let mut removed = BTreeSet::new();
    let mut added: Vec<(String, Value)> = Vec::new();
    let mut add = |field: &Field, order: i32| {
        let value = json!({"value": value(field), "order": order});
        added.push((field.name().into_owned(), value));
    };
    for change in &changes.fields {
        if let FieldChange::Replace { field, .. } | FieldChange::Remove { field, .. } = change {
            removed.insert(field.name().to_lowercase());
        }
    }
    for change in &changes.fields {
        let (field, order) = match change {
            FieldChange::Top { field } => (field, 0),
            FieldChange::Insert { field, .. } | FieldChange::Append { field } => (field, -1),
            FieldChange::Replace { .. } | FieldChange::Remove { .. } => continue,
        };
        if !removed.contains(&field.name().to_lowercase()) {
            add(field, order);
        }
    }
    for field in header.fields() {
        if removed.contains(&field.name().to_lowercase()) {
            add(field, -1);
        }
    }
    let mut all = Map::new();
    if !added.is_empty() {
        let mut fields = Map::new();
        for (name, value) in added {
            match fields.get_mut(&name) {
                None => drop(fields.insert(name, value)),
                Some(Value::Array(values)) => values.push(value),
                Some(first) => *first = json!([first.take(), value]),
            }
        }
        all.insert("add_headers".to_owned(), fields.into());
    }
    if !removed.is_empty() {
        let names = removed.into_iter().map(|name| (name, json!(0)));
        all.insert(
            "remove_headers".to_owned(),
            names.collect::<Map<_, _>>().into(),
        );
    }
    if let Some(envelope) = changes.sender {
        let sender = envelope.sender.to_string();
        all.insert("change_from".to_owned(), json!(sender));
    }
    let recipients = changes.added.iter();
    let recipients: Vec<_> = recipients.map(|added| added.address.to_string()).collect();
    if !recipients.is_empty() {
        all.insert("add_rcpt".to_owned(), json!(recipients));
    }
    if !changes.removed.is_empty() {
        all.insert("del_rcpt".to_owned(), json!(changes.removed));
    }
    if changes.body.is_some() {
        missed.push("the new body: a client of rspamd is not asked for one".to_owned());
    }
    all
}

/// On one line.
fn value(field: &Field) -> String {
    let text = String::from_utf8_lossy(field.value());
    text.replace(['\r', '\n'], "").trim().to_owned()
}
