//! A message as filters see it: its octets as received and its header as the edits so far leave it.

use super::mime::Mime;
use super::new_body::NewBody;
use super::{BodyEdit, Content, Header, Splice};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Clones share the MIME structure, so that it is looked for once, however many filters and recipients there are.
#[derive(Debug, Clone)]
pub struct Message {
    /// As received.
    pub content: Content,
    /// With the edits so far.
    pub header: Header,
    body: NewBody,
    mime: Arc<Mutex<Option<Arc<Mime>>>>,
}

impl Message {
    pub fn new(content: Content) -> io::Result<Self> {
        let header = Header::read(&content)?;
        Ok(Self {
            content,
            header,
            body: NewBody::default(),
            mime: Arc::default(),
        })
    }

    /// Changes the body. Of a message that is not multipart the header's MIME fields change too: that is an edit of the header.
    pub fn edit_body(&mut self, edit: &BodyEdit) {
        self.body.apply(edit);
    }

    /// Whether an edit has taken the place of all that was received as body, parts and all.
    pub fn is_body_replaced(&self) -> bool {
        self.body.is_whole()
    }

    /// Whether any edit of the body has been made.
    pub fn is_body_edited(&self) -> bool {
        self.body.is_edited()
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

    /// What turns the received message into this one, in order.
    pub fn splices(&self) -> io::Result<Vec<Splice>> {
        let mut splices = self.header.splices();
        splices.extend(self.body.splices(self)?);
        Ok(splices)
    }

    /// The message with its edits.
    pub fn render(&self) -> io::Result<Content> {
        self.content.with_splices(self.splices()?)
    }
}
