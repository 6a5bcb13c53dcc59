//! A message as filters see it: its octets as received and its header as the edits so far leave it.

use super::{Content, Header};
use std::io;

#[derive(Debug, Clone)]
pub struct Message {
    /// As received.
    pub content: Content,
    /// With the edits so far.
    pub header: Header,
}

impl Message {
    pub fn new(content: Content) -> io::Result<Self> {
        let header = Header::read(&content)?;
        Ok(Self { content, header })
    }

    /// The message with its edits.
    pub fn render(&self) -> io::Result<Content> {
        self.content.with_splices(self.header.splices())
    }
}
