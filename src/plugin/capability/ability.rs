//! The abilities by name, and which of them all plugins have. Knows nothing of who is granted what.

/// What a plugin can import and the operator can grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ability {
    Session,
    Envelope,
    Header,
    Body,
    Results,
    Config,
    Tags,
    Score,
    HeaderEdit,
    BodyEdit,
    EnvelopeEdit,
    Filing,
    Route,
    Kv,
    Dns,
    Metrics,
    Log,
    Http,
    /// Not imported: what is granted besides `http`, to reach addresses that are not public.
    HttpPrivate,
    Sockets,
    Filesystem,
}

impl Ability {
    pub const ALL: [Self; 21] = [
        Self::Session,
        Self::Envelope,
        Self::Header,
        Self::Body,
        Self::Results,
        Self::Config,
        Self::Tags,
        Self::Score,
        Self::HeaderEdit,
        Self::BodyEdit,
        Self::EnvelopeEdit,
        Self::Filing,
        Self::Route,
        Self::Kv,
        Self::Dns,
        Self::Metrics,
        Self::Log,
        Self::Http,
        Self::HttpPrivate,
        Self::Sockets,
        Self::Filesystem,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Envelope => "envelope",
            Self::Header => "header",
            Self::Body => "body",
            Self::Results => "results",
            Self::Config => "config",
            Self::Tags => "tags",
            Self::Score => "score",
            Self::HeaderEdit => "header-edit",
            Self::BodyEdit => "body-edit",
            Self::EnvelopeEdit => "envelope-edit",
            Self::Filing => "filing",
            Self::Route => "route",
            Self::Kv => "kv",
            Self::Dns => "dns",
            Self::Metrics => "metrics",
            Self::Log => "log",
            Self::Http => "http",
            Self::HttpPrivate => "http-private",
            Self::Sockets => "sockets",
            Self::Filesystem => "filesystem",
        }
    }

    /// By its own name or that of the WASI package.
    pub fn from_name(name: &str) -> Option<Self> {
        let wasi = |ability: Self| !ability.is_of_contract();
        match name.strip_prefix("wasi:") {
            Some(package) => Self::ALL
                .into_iter()
                .find(|&ability| wasi(ability) && ability.name() == package),
            None => Self::ALL.into_iter().find(|ability| ability.name() == name),
        }
    }

    /// What importing this interface asks for. None for what is harmless (clocks, random numbers, streams, an empty environment) and
    /// for what nobody knows.
    pub fn of_import(import: &str) -> Option<Self> {
        let (package, interface) = import.split_once('/')?;
        if package == crate::plugin::abi::PACKAGE {
            let name = interface.split('@').next().unwrap_or(interface);
            return Self::from_name(name).filter(|ability| ability.is_of_contract());
        }
        Self::from_name(package).filter(|ability| !ability.is_of_contract())
    }

    fn is_of_contract(self) -> bool {
        !matches!(
            self,
            Self::Http | Self::HttpPrivate | Self::Sockets | Self::Filesystem
        )
    }

    /// Whether all plugins have it unless the operator says otherwise: what can neither change mail nor leave the machine.
    pub fn is_for_all(self) -> bool {
        matches!(
            self,
            Self::Session
                | Self::Envelope
                | Self::Header
                | Self::Body
                | Self::Results
                | Self::Config
                | Self::Tags
                | Self::Score
                | Self::Log
                | Self::Metrics
        )
    }

    /// Sockets and files are there for programs that are linked with them, but empty: no address, no directory. So there is nothing to grant.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::Sockets | Self::Filesystem)
    }

    /// Whether patterns can narrow it.
    pub fn has_patterns(self) -> bool {
        matches!(
            self,
            Self::HeaderEdit | Self::Filing | Self::Http | Self::Dns | Self::EnvelopeEdit
        )
    }

    /// For messages to those who wrote another name.
    pub fn names(which: impl Fn(Self) -> bool) -> String {
        let names = Self::ALL.into_iter().filter(|&ability| which(ability));
        names.map(Self::name).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::abi::ABILITIES;

    #[test]
    fn imports_are_abilities_or_harmless() {
        for (import, ability) in [
            (
                "wasmilter:filter/header-edit@0.1.1",
                Some(Ability::HeaderEdit),
            ),
            ("wasmilter:filter/types@0.1.1", None),
            ("wasmilter:filter/http@0.1.1", None),
            ("wasi:http/outgoing-handler@0.2.6", Some(Ability::Http)),
            ("wasi:sockets/tcp@0.2.6", Some(Ability::Sockets)),
            ("wasi:filesystem/preopens@0.2.6", Some(Ability::Filesystem)),
            ("wasi:clocks/wall-clock@0.2.6", None),
            ("wasi:kv/store@0.2.6", None),
            ("elsewhere:filter/kv@0.1.1", None),
            ("run", None),
        ] {
            assert_eq!(Ability::of_import(import), ability, "{import}");
        }
    }

    #[test]
    fn each_interface_of_the_contract_is_an_ability() {
        for name in ABILITIES.into_iter().filter(|&name| name != "types") {
            let import = format!("wasmilter:filter/{name}@0.1.1");
            assert_eq!(Ability::of_import(&import).map(Ability::name), Some(name));
        }
    }
}
