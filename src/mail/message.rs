//! A message as filters see it: its octets as received and its header as the edits so far leave it.

use super::mime::Mime;
use super::{Content, Header};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Clones share the MIME structure, so that it is looked for once, however many filters and recipients there are.
#[derive(Debug, Clone)]
pub struct Message {
    /// As received.
    pub content: Content,
    /// With the edits so far.
    pub header: Header,
    mime: Arc<Mutex<Option<Arc<Mime>>>>,
}

impl Message {
    pub fn new(content: Content) -> io::Result<Self> {
        let header = Header::read(&content)?;
        Ok(Self {
            content,
            header,
            mime: Arc::default(),
        })
    }

    /// The same received message with other edits.
    pub fn with_header(&self, header: Header) -> Self {
        Self {
            header,
            ..self.clone()
        }
    }

    /// The MIME structure and the parts of the message as received. The first call reads the whole message.
    pub fn mime(&self) -> io::Result<Arc<Mime>> {
        // Nothing is half done in there: it is set or not.
        let mut mime = self.mime.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mime) = &*mime {
            return Ok(Arc::clone(mime));
        }
        let found = Arc::new(Mime::new(self.content.received())?);
        *mime = Some(Arc::clone(&found));
        Ok(found)
    }

    /// The message with its edits.
    pub fn render(&self) -> io::Result<Content> {
        self.content.with_splices(self.header.splices())
    }
}
