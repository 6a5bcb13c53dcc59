//! What the rules get to see of a message. Where it comes from is no concern of theirs.

/// A message, decoded as far as the rules want it.
#[derive(Debug, Clone, Default)]
pub struct Message {
    pub fields: Vec<Field>,
    pub subject: Option<String>,
    pub from: Option<String>,
    pub reply_to: Option<String>,
    pub parts: Vec<Part>,
    /// Method and outcome, such as "spf" and "fail".
    pub authentication: Vec<(String, String)>,
    /// The client is one of our users.
    pub authenticated: bool,
    /// Reverse-path of the envelope.
    pub sender: String,
    /// Recipients of the envelope.
    pub recipients: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Field {
    pub name: String,
    /// As received; what is not UTF-8 replaced.
    pub value: String,
    /// Whether something had to be replaced.
    pub broken: bool,
}

/// A leaf of the MIME tree.
#[derive(Debug, Clone, Default)]
pub struct Part {
    pub path: String,
    pub media_type: String,
    pub name: Option<String>,
    pub attachment: bool,
    /// Octets, encoded.
    pub size: u64,
    /// Text, if it is text to be read.
    pub text: Option<String>,
    /// The first octets, if it is not.
    pub start: Vec<u8>,
}

impl Message {
    /// The value of the first field of this name, trimmed, still folded.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.trim())
    }

    pub fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.trim())
    }

    /// Sent to many on purpose, by something that says so.
    pub fn is_list(&self) -> bool {
        self.has("List-Id") || self.has("List-Post") || self.has("Mailing-List")
    }

    pub fn can_unsubscribe(&self) -> bool {
        self.has("List-Unsubscribe")
    }

    /// A report of a mail system about another message (RFC 3464 and its like).
    pub fn is_report(&self) -> bool {
        self.sender.is_empty()
            && self
                .field("Content-Type")
                .is_some_and(|value| crate::text::contains(value, "multipart/report"))
    }
}
