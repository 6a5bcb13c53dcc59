//! `session`: the connection that the transaction came over.

use crate::mail::Session;
use crate::plugin::abi::generated::session::Host;
use crate::plugin::state::State;

impl State {
    fn session<T: Default>(&mut self, read: impl FnOnce(&Session) -> T) -> T {
        self.count();
        self.view()
            .map(|view| read(&view.session))
            .unwrap_or_default()
    }
}

impl Host for State {
    fn server_name(&mut self) -> String {
        self.session(|session| session.server_name.clone())
    }

    fn client_address(&mut self) -> String {
        self.session(|session| session.client_address.map(|address| address.to_string()))
            .unwrap_or_default()
    }

    fn client_name(&mut self) -> Option<String> {
        self.session(|session| session.client_name.clone())
    }

    fn helo(&mut self) -> String {
        self.session(|session| session.helo.clone())
    }

    fn protocol(&mut self) -> String {
        self.session(|session| session.protocol.clone())
    }

    fn tls(&mut self) -> Option<String> {
        self.session(|session| {
            let tls = session.tls.as_ref()?;
            Some(format!("{} {}", tls.version, tls.cipher))
        })
    }

    fn client_certificate(&mut self) -> Option<String> {
        self.session(|session| session.tls.as_ref()?.client.clone())
    }

    fn authenticated(&mut self) -> Option<String> {
        self.session(|session| session.authenticated.clone())
    }

    fn transaction(&mut self) -> String {
        self.count();
        let id = self.view().and_then(|view| view.transaction.as_ref());
        id.map(ToString::to_string).unwrap_or_default()
    }
}
