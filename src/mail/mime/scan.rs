//! Finds the MIME tree of a message, line by line, in one pass: holds one header block and the tree, never a body.
//! Decodes nothing.

use super::entity::{Entity, Inside};
use super::fields::Fields;
use crate::mail::{Content, Header};
use memchr::{memchr, memchr_iter};
use std::io;
use std::ops::Range;

/// Octets asked from the content at a time.
const CHUNK: usize = 64 * 1024;
/// Multiparts and messages inside each other; what is deeper is not looked into.
pub const MAX_DEPTH: usize = 50;
/// Entities of a message; what follows the last is its content.
pub const MAX_ENTITIES: usize = 1000;
/// The most octets of a part's header that are read for its fields.
const MAX_PART_HEADER: usize = 64 * 1024;
/// The most octets of all headers together, so that a message made of headers costs no more than this.
const MAX_HEADERS: usize = 4 * 1024 * 1024;
/// The most octets of a line that can be a boundary. RFC 2046 §5.1.1 allows 70 for the boundary itself.
const MAX_BOUNDARY_LINE: usize = 1024;

/// Finds the structure of a message.
pub fn scan(content: &Content) -> io::Result<Entity> {
    scan_in_chunks(content, CHUNK)
}

pub(super) fn scan_in_chunks(content: &Content, chunk: usize) -> io::Result<Entity> {
    let mut scanner = Scanner::new();
    let mut offset = 0;
    loop {
        let octets = content.read(offset, chunk)?;
        if octets.is_empty() {
            return Ok(scanner.finish());
        }
        offset += octets.len() as u64;
        scanner.push(&octets);
    }
}

/// An entity as far as it is known.
struct Node {
    /// Its place in the list of nodes; the message itself names itself.
    parent: usize,
    header: Range<u64>,
    body: Range<u64>,
    /// Line ends before the body; once the entity is closed, those in it.
    lines: u64,
    media_type: (String, String),
    fields: Fields,
}

/// An entity whose end has not come.
struct Open {
    node: usize,
    /// Of a multipart whose parts are looked for.
    boundary: Option<Vec<u8>>,
}

/// What a line belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The header of the innermost open entity.
    Header,
    /// Its body, or the preamble or epilogue of a multipart.
    Body,
}

struct Scanner {
    /// Every entity found, parents before children.
    nodes: Vec<Node>,
    /// The open ones, the outermost first.
    open: Vec<Open>,
    state: State,
    /// The header being read, as far as it is kept.
    header: Vec<u8>,
    header_limit: usize,
    header_budget: usize,
    /// Where the line at hand starts.
    line_start: u64,
    /// Octets of the CRLF or LF before it.
    previous_end: u64,
    /// Line ends so far.
    lines: u64,
    /// The start of a line that goes on in the next chunk, its length so far and its last octet.
    carry: Vec<u8>,
    carry_len: u64,
    carry_last: u8,
}

impl Scanner {
    fn new() -> Self {
        let mut scanner = Self {
            nodes: Vec::new(),
            open: Vec::new(),
            state: State::Header,
            header: Vec::new(),
            header_limit: 0,
            header_budget: MAX_HEADERS,
            line_start: 0,
            previous_end: 0,
            lines: 0,
            carry: Vec::new(),
            carry_len: 0,
            carry_last: 0,
        };
        scanner.start_entity(0, Header::MAX);
        scanner
    }

    fn push(&mut self, mut octets: &[u8]) {
        while let Some(at) = memchr(b'\n', octets) {
            if self.is_last() {
                self.line_start += octets.len() as u64;
                self.lines += memchr_iter(b'\n', octets).count() as u64;
                return;
            }
            let (line, rest) = octets.split_at_checked(at + 1).unwrap_or((octets, &[]));
            let before = match at.checked_sub(1) {
                Some(at) => line.get(at).copied(),
                None => (self.carry_len > 0).then_some(self.carry_last),
            };
            let line_end = if before == Some(b'\r') { 2 } else { 1 };
            if self.carry_len == 0 {
                self.line(line, line.len() as u64, line_end);
            } else {
                self.keep(line);
                self.carried_line(line_end);
            }
            octets = rest;
        }
        if let Some(last) = octets.last() {
            self.carry_last = *last;
            self.keep(octets);
        }
    }

    /// Whether what is open ends with the message, whatever comes: most messages are one text.
    fn is_last(&self) -> bool {
        let no_boundary = || self.open.iter().all(|open| open.boundary.is_none());
        self.state == State::Body && self.carry_len == 0 && no_boundary()
    }

    /// Keeps of a line that is not complete what can be needed of it.
    fn keep(&mut self, octets: &[u8]) {
        let limit = match self.state {
            State::Header => self.header_limit.max(MAX_BOUNDARY_LINE),
            State::Body => MAX_BOUNDARY_LINE,
        };
        let room = limit.saturating_sub(self.carry.len()).min(octets.len());
        self.carry
            .extend_from_slice(octets.get(..room).unwrap_or_default());
        self.carry_len += octets.len() as u64;
    }

    fn carried_line(&mut self, line_end: u64) {
        let mut carry = std::mem::take(&mut self.carry);
        let length = std::mem::take(&mut self.carry_len);
        self.line(&carry, length, line_end);
        carry.clear();
        self.carry = carry;
    }

    /// Takes a line: its first octets (all that matter), its length and that of its end.
    fn line(&mut self, line: &[u8], length: u64, line_end: u64) {
        let boundary = self.boundary(line, length);
        if let Some((multipart, _)) = boundary {
            self.close_inside(multipart);
        }
        self.line_start += length;
        self.lines += u64::from(line_end > 0);
        self.previous_end = line_end;
        match (boundary, self.state) {
            (Some((multipart, Delimiter::Close)), _) => {
                // What follows is the epilogue.
                if let Some(open) = self.open.get_mut(multipart) {
                    open.boundary = None;
                }
            }
            (Some((multipart, Delimiter::Part)), _) => {
                let parent = self.open.get(multipart).map_or(0, |open| open.node);
                self.start_entity(parent, MAX_PART_HEADER);
            }
            (None, State::Header) if line_end == length => self.start_body(),
            (None, State::Header) => {
                let room = self.header_limit.saturating_sub(self.header.len());
                let kept = line.get(..room).unwrap_or(line);
                self.header.extend_from_slice(kept);
            }
            (None, State::Body) => {}
        }
    }

    /// The open multipart that a line is a delimiter of (RFC 2046 §5.1.1). That of an outer one ends those inside it (§5.1.2).
    fn boundary(&self, line: &[u8], length: u64) -> Option<(usize, Delimiter)> {
        let line = line.strip_prefix(b"--")?;
        if length > MAX_BOUNDARY_LINE as u64 || self.nodes.len() >= MAX_ENTITIES {
            return None;
        }
        let line = line.trim_ascii_end();
        let delimiter = |open: &Open| match line.strip_prefix(open.boundary.as_deref()?)? {
            b"" => Some(Delimiter::Part),
            b"--" => Some(Delimiter::Close),
            _ => None,
        };
        let mut open = self.open.iter().enumerate().rev();
        open.find_map(|(index, open)| Some((index, delimiter(open)?)))
    }

    /// A header starts with the next line.
    fn start_entity(&mut self, parent: usize, header_limit: usize) {
        self.open.push(Open {
            node: self.nodes.len(),
            boundary: None,
        });
        let here = self.line_start..self.line_start;
        self.nodes.push(Node {
            parent,
            header: here.clone(),
            body: here,
            lines: 0,
            media_type: Default::default(),
            fields: Fields::default(),
        });
        self.state = State::Header;
        self.header.clear();
        self.header_limit = header_limit.min(self.header_budget);
    }

    /// The header is complete; a body, or the header of a message inside, starts with the next line.
    fn start_body(&mut self) {
        self.state = State::Body;
        self.header_budget = self.header_budget.saturating_sub(self.header.len());
        let fields = Fields::read(&self.header);
        let Some(open) = self.open.last_mut() else {
            return;
        };
        let parent = self.nodes.get(open.node).map_or(0, |node| node.parent);
        let in_digest = open.node != parent
            && self.nodes.get(parent).is_some_and(|parent| {
                parent.media_type.0 == "multipart" && parent.media_type.1 == "digest"
            });
        let media_type = fields.content_type.clone().unwrap_or_else(|| {
            let (media_type, subtype) = if in_digest {
                ("message", "rfc822") // RFC 2046 §5.1.5
            } else {
                ("text", "plain")
            };
            (media_type.to_owned(), subtype.to_owned())
        });
        let is_encoded = matches!(
            fields.encoding.as_deref(),
            Some("base64" | "quoted-printable")
        );
        let mut carries_message = false;
        if self.open.len() <= MAX_DEPTH {
            match (media_type.0.as_str(), media_type.1.as_str()) {
                ("multipart", _) => {
                    if let Some(open) = self.open.last_mut() {
                        open.boundary = fields.boundary.clone();
                    }
                }
                ("message", "rfc822" | "global") => {
                    carries_message = !is_encoded && self.nodes.len() < MAX_ENTITIES;
                }
                _ => {}
            }
        }
        let index = self.open.last().map_or(0, |open| open.node);
        if let Some(node) = self.nodes.get_mut(index) {
            node.header.end = self.line_start;
            node.body = self.line_start..self.line_start;
            node.lines = self.lines;
            node.media_type = media_type;
            node.fields = fields;
        }
        if carries_message {
            self.start_entity(index, MAX_PART_HEADER);
        }
    }

    /// Closes what is open inside this multipart: the line at hand is its delimiter.
    fn close_inside(&mut self, multipart: usize) {
        let is_header = self.state == State::Header;
        self.end_header();
        let innermost = self.open.last().and_then(|open| self.nodes.get(open.node));
        let start = innermost.map_or(0, |node| node.body.start);
        // The line end before a delimiter is part of it, unless a header needs it.
        let end = match is_header {
            true => self.line_start,
            false => (self.line_start - self.previous_end).max(start),
        };
        let lines = self.lines - u64::from(end < self.line_start);
        self.close(multipart + 1, end, lines);
    }

    /// Ends a header that has no body; messages announced by it are empty.
    fn end_header(&mut self) {
        while self.state == State::Header {
            self.start_body();
        }
    }

    /// Closes all open entities from this one on.
    fn close(&mut self, from: usize, end: u64, lines: u64) {
        for open in self.open.drain(from.min(self.open.len())..) {
            if let Some(node) = self.nodes.get_mut(open.node) {
                node.body.end = end;
                node.lines = lines.saturating_sub(node.lines);
            }
        }
        self.state = State::Body;
    }

    fn finish(mut self) -> Entity {
        if self.carry_len > 0 {
            self.carried_line(0);
        }
        self.end_header();
        self.close(0, self.line_start, self.lines);
        tree(self.nodes)
    }
}

enum Delimiter {
    /// `--boundary`: a part follows.
    Part,
    /// `--boundary--`
    Close,
}

/// Children come after their parents in the list, so that going backwards finds each with all that is inside it.
fn tree(nodes: Vec<Node>) -> Entity {
    let mut inside: Vec<Vec<Entity>> = nodes.iter().map(|_| Vec::new()).collect();
    let mut root = None;
    for node in nodes.into_iter().rev() {
        let parent = node.parent;
        let mut children = inside.pop().unwrap_or_default();
        children.reverse();
        let entity = node.entity(children);
        match inside.get_mut(parent) {
            Some(siblings) => siblings.push(entity),
            None => root = Some(entity),
        }
    }
    root.unwrap_or_default()
}

impl Node {
    fn entity(self, mut children: Vec<Entity>) -> Entity {
        let (mut media_type, mut subtype) = self.media_type;
        let fields = self.fields;
        let mut parameters = fields.parameters;
        let inside = match media_type.as_str() {
            "multipart" if children.is_empty() => {
                // RFC 2045 §5.2: what can't be what it says is plain text.
                (media_type, subtype) = ("text".into(), "plain".into());
                parameters.clear();
                Inside::Leaf
            }
            "multipart" => Inside::Parts(children),
            _ => children
                .pop()
                .map_or(Inside::Leaf, |message| Inside::Message(Box::new(message))),
        };
        Entity {
            header: self.header,
            body: self.body,
            lines: self.lines,
            media_type,
            subtype,
            parameters,
            encoding: fields.encoding.unwrap_or_else(|| "7bit".to_owned()),
            id: fields.id,
            description: fields.description,
            md5: fields.md5,
            disposition: fields.disposition,
            language: fields.language,
            location: fields.location,
            name: fields.name,
            inside,
        }
    }
}
