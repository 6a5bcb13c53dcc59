//! Networks that something is allowed to: lists of CIDR blocks.
//! Does not know what is allowed.

use super::Peer;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// Cheap to clone. Empty: nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Arc<[IpNet]>);

impl Networks {
    /// "192.0.2.0/24", or one address. None if one of them is neither, or has bits set behind its prefix, where somebody meant another
    /// network than they wrote.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Option<Self> {
        texts
            .into_iter()
            .map(network)
            .collect::<Option<_>>()
            .map(Self)
    }

    pub fn loopback() -> Self {
        Self::parse(["127.0.0.0/8", "::1"]).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who may reach a local socket is said by its permissions.
    pub fn contains_peer(&self, peer: Peer) -> bool {
        match peer.ip() {
            Some(address) => self.contains(address),
            None => !self.is_empty(),
        }
    }
}

fn network(text: &str) -> Option<IpNet> {
    match text.parse::<IpNet>() {
        Ok(network) => Some(network).filter(|network| network.trunc() == *network),
        Err(_) => text.parse::<IpAddr>().ok().map(IpNet::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_network_or_not() {
        let networks = Networks::parse(["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]).unwrap();
        for (address, inside) in [
            ("192.0.2.255", true),
            ("192.0.3.0", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("::ffff:192.0.2.1", false),
        ] {
            assert_eq!(
                networks.contains(address.parse().unwrap()),
                inside,
                "{address}"
            );
        }
        assert!(!Networks::default().contains_peer(Peer::Unix));
        for wrong in ["192.0.2.1/24", "192.0.2.0/33", "example.test", "", "1.2.3"] {
            assert!(Networks::parse([wrong]).is_none(), "{wrong}");
        }
    }
}
