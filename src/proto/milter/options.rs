//! What both sides agree on: which modifications are allowed, which commands are sent, which are answered.
//! Decides by what the caller wants; knows no filters.

use super::ProtocolError;

/// The version that is spoken at the most. Sendmail 8.14 and all of Postfix since 2.6 speak it.
pub const VERSION: u32 = 6;
/// Sendmail 8.11 spoke it; version 1 has other numbers for the same things.
pub const OLDEST: u32 = 2;

macro_rules! bits {
    ($(#[$doc:meta])* $name:ident { $($(#[$bit_doc:meta])* $bit:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name(pub u32);

        impl $name {
            $($(#[$bit_doc])* pub const $bit: Self = Self($value);)*

            pub fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl std::ops::BitOrAssign for $name {
            fn bitor_assign(&mut self, other: Self) {
                self.0 |= other.0;
            }
        }

        impl std::ops::BitAnd for $name {
            type Output = Self;
            fn bitand(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }
        }
    };
}

bits! {
    /// `SMFIF_*`: what a filter may do.
    Actions {
        ADD_HEADER = 0x001,
        CHANGE_BODY = 0x002,
        ADD_RECIPIENT = 0x004,
        DELETE_RECIPIENT = 0x008,
        CHANGE_HEADER = 0x010,
        QUARANTINE = 0x020,
        CHANGE_SENDER = 0x040,
        /// With ESMTP parameters.
        ADD_RECIPIENT_PARAMETERS = 0x080,
        /// Say which macros it wants.
        SET_MACROS = 0x100,
    }
}

bits! {
    /// `SMFIP_*`: what is not sent, what is not answered.
    Steps {
        NO_CONNECT = 0x0000_0001,
        NO_HELO = 0x0000_0002,
        NO_MAIL = 0x0000_0004,
        NO_RCPT = 0x0000_0008,
        NO_BODY = 0x0000_0010,
        NO_HEADER = 0x0000_0020,
        NO_END_OF_HEADER = 0x0000_0040,
        HEADER_UNANSWERED = 0x0000_0080,
        NO_UNKNOWN = 0x0000_0100,
        NO_DATA = 0x0000_0200,
        /// The filter may say that it has seen enough of the body.
        SKIP = 0x0000_0400,
        CONNECT_UNANSWERED = 0x0000_1000,
        HELO_UNANSWERED = 0x0000_2000,
        MAIL_UNANSWERED = 0x0000_4000,
        RCPT_UNANSWERED = 0x0000_8000,
        DATA_UNANSWERED = 0x0001_0000,
        UNKNOWN_UNANSWERED = 0x0002_0000,
        END_OF_HEADER_UNANSWERED = 0x0004_0000,
        BODY_UNANSWERED = 0x0008_0000,
        /// The space after the colon of a field is part of the value, both ways.
        LEADING_SPACE = 0x0010_0000,
    }
}

/// What the mail server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    pub version: u32,
    pub actions: Actions,
    pub steps: Steps,
}

impl Offer {
    /// Newer versions may send more; it is not looked at.
    pub(super) fn parse(data: &[u8]) -> Option<Self> {
        let mut numbers = data.chunks_exact(4).map(|octets| {
            let octets = octets.first_chunk().copied().unwrap_or_default();
            u32::from_be_bytes(octets)
        });
        Some(Self {
            version: numbers.next()?,
            actions: Actions(numbers.next()?),
            steps: Steps(numbers.next()?),
        })
    }
}

/// What a filter wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wants {
    pub actions: Actions,
    /// As if everything were offered.
    pub steps: Steps,
    /// Names of macros, separated by spaces.
    pub macros: Vec<(Stage, &'static str)>,
}

/// `SMFIM_*`: when macros are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Connect = 0,
    Helo = 1,
    Mail = 2,
    Rcpt = 3,
    Data = 4,
    End = 5,
    EndOfHeader = 6,
}

impl Stage {
    pub const ALL: [Self; 7] = [
        Self::Connect,
        Self::Helo,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::End,
        Self::EndOfHeader,
    ];

    pub(super) fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| *stage as u32 == number)
    }
}

/// What is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    pub version: u32,
    pub actions: Actions,
    pub steps: Steps,
}

impl Wants {
    /// What comes of it, and the data of the packet that says so.
    pub(super) fn meet(&self, offer: &Offer) -> Result<(Negotiated, Vec<u8>), ProtocolError> {
        if offer.version < OLDEST {
            return Err(ProtocolError::Version(offer.version));
        }
        let mut actions = self.actions & offer.actions;
        let sets_macros = offer.actions.contains(Actions::SET_MACROS) && !self.macros.is_empty();
        if sets_macros {
            actions |= Actions::SET_MACROS;
        }
        let negotiated = Negotiated {
            version: offer.version.min(VERSION),
            actions,
            steps: self.steps & offer.steps,
        };
        let mut data = Vec::with_capacity(64);
        for number in [negotiated.version, actions.0, negotiated.steps.0] {
            data.extend_from_slice(&number.to_be_bytes());
        }
        if sets_macros {
            for (stage, names) in &self.macros {
                data.extend_from_slice(&(*stage as u32).to_be_bytes());
                data.extend_from_slice(names.as_bytes());
                data.push(0);
            }
        }
        Ok((negotiated, data))
    }
}
