//! Which certificate a client gets: by the name that it asks for (RFC 6066 §3) and the signatures that it knows. All can be swapped while connections go on.
//! Reads no files.

use super::Pair;
use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a certificate comes from. The first that there is answers clients that ask for no name, or for one that nobody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Files,
    Acme,
    SelfSigned,
}

/// The certificates of a server. Cheap to clone; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Certificates(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// All of them, those of the first origin first.
    pairs: ArcSwap<Vec<Pair>>,
    /// By origin: what `pairs` is made of.
    origins: Mutex<[Vec<Pair>; 3]>,
    /// Those that answer a challenge (RFC 8737), by name.
    challenges: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
}

impl Certificates {
    pub fn of(pair: Pair) -> Self {
        let certificates = Self::default();
        certificates.set(Origin::Files, vec![pair]);
        certificates
    }

    /// From the next handshake on these are the ones of that origin.
    pub fn set(&self, origin: Origin, pairs: Vec<Pair>) {
        let origins = self.0.origins.lock();
        let mut origins = origins.unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = origins.get_mut(origin as usize) {
            *place = pairs;
        }
        let all = origins.iter().flatten().cloned().collect();
        self.0.pairs.store(Arc::new(all));
    }

    pub fn all(&self) -> Arc<Vec<Pair>> {
        self.0.pairs.load_full()
    }

    /// Answers the challenge for a name, until it is taken back with none.
    pub fn challenge(&self, name: &str, answer: Option<Pair>) {
        let name = name.to_ascii_lowercase();
        self.0.challenges.rcu(|known| {
            let mut challenges = HashMap::clone(known);
            match &answer {
                Some(pair) => challenges.insert(name.clone(), Arc::clone(&pair.certified)),
                None => challenges.remove(&name),
            };
            challenges
        });
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pairs = self.0.pairs.load();
        let signs = |pair: &&Pair| {
            let key = &pair.certified.key;
            key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let named = hello.server_name().and_then(|name| {
            // A certificate of that very name before a wildcard.
            let exact = |pair: &&Pair| pair.names().iter().any(|known| known == name);
            let mut exactly = pairs.iter().filter(exact);
            let mut covering = pairs.iter().filter(|pair| pair.is_for(name));
            exactly.find(signs).or_else(|| covering.find(signs))
        });
        let found = named.or_else(|| pairs.iter().find(signs));
        found.map(|pair| Arc::clone(&pair.certified))
    }
}

/// The certificates that answer challenges, and no others.
#[derive(Debug)]
pub(super) struct Challenges(pub Certificates);

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        self.0.0.challenges.load().get(&name).cloned()
    }
}
