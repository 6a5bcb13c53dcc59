//! What ends the demo from outside. Removes nothing itself.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Those that come are kept until they are asked for.
pub struct Signals([Signal; 3]);

impl Signals {
    pub fn watch() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    pub async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
