//! The values of macros that the mail server has given, by the command that they came with. Knows nothing of what they mean.

use super::ProtocolError;

/// In all. A mail server gives some twenty, of a name or an address each.
const OCTETS: usize = 64 * 1024;
const COUNT: usize = 256;

#[derive(Debug, Clone, Default)]
pub struct Macros {
    given: Vec<(u8, String, String)>,
    octets: usize,
}

impl Macros {
    /// Those that come with a command take the place of those that came with the last of its kind.
    pub fn set(&mut self, command: u8, pairs: &[(&str, &[u8])]) -> Result<(), ProtocolError> {
        self.forget(|other| other == command);
        for (name, value) in pairs {
            self.octets += name.len() + value.len();
            if self.octets > OCTETS || self.given.len() >= COUNT {
                return Err(ProtocolError::Macros);
            }
            let value = String::from_utf8_lossy(value).into_owned();
            self.given.push((command, bare(name).to_owned(), value));
        }
        Ok(())
    }

    /// By its name without braces; the one given last, if several commands brought it. None if it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut given = self.given.iter().rev();
        given
            .find(|(_, other, _)| other == name)
            .map(|(_, _, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Those of the message.
    pub fn end_message(&mut self) {
        self.forget(|command| !matches!(command, b'C' | b'H'));
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn forget(&mut self, which: impl Fn(u8) -> bool) {
        self.given.retain(|(command, _, _)| !which(*command));
        let left = self.given.iter();
        self.octets = left.map(|(_, name, value)| name.len() + value.len()).sum();
    }
}

fn bare(name: &str) -> &str {
    let inner = name
        .strip_prefix('{')
        .and_then(|name| name.strip_suffix('}'));
    inner.unwrap_or(name)
}
