//! The patterns of LIST and LSUB (RFC 3501 §6.3.8): `*` is anything, `%` anything within a level.
//! Works on names as they go over the wire, in modified UTF-7.

/// More than this is no name's pattern.
const MAX: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Octet(u8),
    /// `%`
    Level,
    /// `*`
    Any,
}

#[derive(Debug, Clone)]
pub struct Pattern {
    pieces: Vec<Piece>,
}

impl Pattern {
    /// `None` if it is too long to match anything.
    pub fn new(reference: &[u8], pattern: &[u8]) -> Option<Self> {
        let mut pieces: Vec<Piece> = Vec::new();
        for octet in reference.iter().chain(pattern) {
            let piece = match octet {
                b'*' => Piece::Any,
                b'%' => Piece::Level,
                octet => Piece::Octet(*octet),
            };
            match (pieces.last_mut(), piece) {
                (Some(Piece::Any), Piece::Any | Piece::Level)
                | (Some(Piece::Level), Piece::Level) => {}
                (Some(last @ Piece::Level), Piece::Any) => *last = Piece::Any,
                _ => pieces.push(piece),
            }
        }
        // INBOX is the same in any case (RFC 3501 §5.1).
        let inbox = pieces.get_mut(..5).unwrap_or_default();
        let is_inbox = inbox.len() == 5
            && inbox.iter().zip(b"INBOX").all(|(piece, letter)| {
                matches!(piece, Piece::Octet(octet) if octet.eq_ignore_ascii_case(letter))
            });
        if is_inbox {
            for (piece, letter) in inbox.iter_mut().zip(b"INBOX") {
                *piece = Piece::Octet(*letter);
            }
        }
        (pieces.len() <= MAX).then_some(Self { pieces })
    }

    pub fn matches(&self, name: &str) -> bool {
        self.at(name.as_bytes()) || (name == "INBOX" && self.folded().at(b"inbox"))
    }

    fn folded(&self) -> Self {
        let fold = |piece: &Piece| match piece {
            Piece::Octet(octet) => Piece::Octet(octet.to_ascii_lowercase()),
            wild => *wild,
        };
        Self {
            pieces: self.pieces.iter().map(fold).collect(),
        }
    }

    /// Steps through all places in the pattern at once, so that no pattern takes longer than its length times the name's.
    fn at(&self, name: &[u8]) -> bool {
        let count = self.pieces.len();
        let mut here = vec![false; count + 1];
        if let Some(first) = here.first_mut() {
            *first = true;
        }
        self.skip_wild(&mut here);
        for octet in name {
            let mut next = vec![false; count + 1];
            for (at, piece) in self.pieces.iter().enumerate() {
                if !here.get(at).copied().unwrap_or_default() {
                    continue;
                }
                let to = match piece {
                    Piece::Any => Some(at),
                    Piece::Level => (*octet != b'/').then_some(at),
                    Piece::Octet(wanted) => (wanted == octet).then_some(at + 1),
                };
                if let Some(place) = to.and_then(|to| next.get_mut(to)) {
                    *place = true;
                }
            }
            self.skip_wild(&mut next);
            here = next;
        }
        here.last().copied().unwrap_or_default()
    }

    /// A wild piece may match nothing.
    fn skip_wild(&self, places: &mut [bool]) {
        for (at, piece) in self.pieces.iter().enumerate() {
            let reached = places.get(at).copied().unwrap_or_default();
            if reached
                && !matches!(piece, Piece::Octet(_))
                && let Some(after) = places.get_mut(at + 1)
            {
                *after = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (reference, pattern, name, expected) in [
            ("", "*", "INBOX", true),
            ("", "*", "a/b/c", true),
            ("", "%", "a", true),
            ("", "%", "a/b", false),
            ("", "%/%", "a/b", true),
            ("", "a/%", "a/b", true),
            ("", "a/%", "a/b/c", false),
            ("", "a/*", "a/b/c", true),
            ("a/", "%", "a/b", true),
            ("", "a*c", "a/b/c", true),
            ("", "a%c", "a/b/c", false),
            ("", "%*%", "a/b/c", true),
            ("", "inbox", "INBOX", true),
            ("", "InBox/x", "INBOX/x", true),
            ("", "inb%", "INBOX", true),
            ("", "inb%", "inbred", true),
            ("", "Archive", "archive", false),
            ("", "", "INBOX", false),
            ("", "&AOQ-%", "&AOQ-x", true),
        ] {
            let pattern = Pattern::new(reference.as_bytes(), pattern.as_bytes()).unwrap();
            assert_eq!(pattern.matches(name), expected, "{pattern:?} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = Pattern::new(b"", "*a".repeat(500).as_bytes()).unwrap();
        assert!(!pattern.matches(&"a".repeat(255)));
        assert!(Pattern::new(b"", &[b'x'; 2000]).is_none());
        assert!(Pattern::new(b"", &[b'*'; 2000]).unwrap().matches("a"));
    }
}
