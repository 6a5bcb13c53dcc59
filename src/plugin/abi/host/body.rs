//! `body`: the parts of the message as received, decoded and cut to ranges. Long messages are read off the runtime's threads.

use crate::mail::mime::{Mime, PartError};
use crate::plugin::abi::generated::body::{Host, Part};
use crate::plugin::abi::generated::types::Refusal;
use crate::plugin::state::{HostFailed, Refused, State, nothing_yet};
use std::io;
use std::sync::Arc;

/// The most that one call hands out.
const MAX_READ: u32 = 1024 * 1024;
/// Octets of a message that is parsed in place: some 500 µs.
const IN_PLACE: u64 = 256 * 1024;

impl State {
    /// Does something with the parsed message and `more` octets, elsewhere if that may take long.
    pub(super) async fn mime<T: Send + 'static>(
        &mut self,
        more: u64,
        read: impl FnOnce(&Mime) -> Result<T, PartError> + Send + 'static,
    ) -> Result<T, Refused> {
        if self.view().is_none() {
            return Err(nothing_yet());
        }
        let Some(message) = self.message().cloned() else {
            return Err(no_message());
        };
        let large = message.content.len().max(more) > IN_PLACE;
        let work = move || -> Result<T, PartError> {
            let mime: Arc<Mime> = message.mime()?;
            read(&mime)
        };
        let result = if large {
            let joined = tokio::task::spawn_blocking(work).await;
            joined.unwrap_or_else(|error| Err(PartError::Io(io::Error::other(error))))
        } else {
            work()
        };
        result.map_err(|error| match error {
            PartError::NoSuchPart(_) => Refused::NoSuchThing(error.to_string()),
            PartError::Io(_) => Refused::Failed(error.to_string()),
        })
    }
}

fn no_message() -> Refused {
    Refused::NoSuchThing(
        "there is no message at this hook: ask at on-message or on-deliver".to_owned(),
    )
}

fn length(length: u32) -> usize {
    length.min(MAX_READ) as usize
}

impl Host for State {
    fn size(&mut self) -> u64 {
        self.count();
        self.message()
            .map_or(0, |message| message.content.received().len())
    }

    async fn parts(&mut self) -> wasmtime::Result<Vec<Part>> {
        self.count();
        if self.message().is_none() {
            return Ok(Vec::new());
        }
        let parts = self.mime(0, |mime| {
            let leaves = mime.leaves().into_iter();
            Ok(leaves
                .map(|(path, part)| Part {
                    path,
                    media_type: part.content_type(),
                    charset: part.charset().map(str::to_owned),
                    name: part.name.clone(),
                    disposition: part
                        .disposition
                        .as_ref()
                        .map(|disposition| disposition.kind.clone()),
                    size: part.body.end.saturating_sub(part.body.start),
                })
                .collect())
        });
        parts
            .await
            .map_err(|refused| HostFailed(format!("body.parts: {refused:?}")).into())
    }

    async fn text(&mut self, path: String, offset: u64, len: u32) -> Result<String, Refusal> {
        self.count();
        let text = self
            .mime(0, move |mime| mime.text(&path, offset, length(len)))
            .await;
        self.answer("body.text", text)
    }

    async fn octets(&mut self, path: String, offset: u64, len: u32) -> Result<Vec<u8>, Refusal> {
        self.count();
        let octets = self
            .mime(0, move |mime| {
                Ok(mime.octets(&path, offset, length(len))?.to_vec())
            })
            .await;
        self.answer("body.octets", octets)
    }

    fn raw(&mut self, offset: u64, len: u32) -> Result<Vec<u8>, Refusal> {
        self.count();
        let octets = match self.message() {
            None => Err(no_message()),
            Some(message) => message
                .content
                .received()
                .read(offset, length(len))
                .map(|octets| octets.to_vec())
                .map_err(|error| Refused::Failed(format!("reading the message: {error}"))),
        };
        self.answer("body.raw", octets)
    }
}
