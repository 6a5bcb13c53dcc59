//! Packets: four octets of length in network order, one of command, and data. Doesn't look into the data.

use super::ProtocolError;

/// Octets of a packet without its length field. Mail servers send a body in pieces of 64 KiB, but a header field whole, however long
/// they take one.
pub const MAX: u32 = 1024 * 1024;

const LENGTH: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    pub command: u8,
    pub data: &'a [u8],
}

/// Cuts what is read into packets; keeps the beginning of one that is not all there.
#[derive(Debug, Default)]
pub struct Frames {
    partial: Vec<u8>,
    /// What is in `partial` has been given out.
    used: bool,
}

impl Frames {
    /// How many octets of `input` are used, and the packet that they end, if they end one. An octet of `input` is never left while there
    /// is none.
    pub fn next<'a>(
        &'a mut self,
        input: &'a [u8],
    ) -> Result<(usize, Option<Packet<'a>>), ProtocolError> {
        if std::mem::take(&mut self.used) {
            // An idle connection keeps no buffer.
            self.partial = Vec::new();
        }
        if self.partial.is_empty() {
            let Some(length) = length(input)? else {
                self.partial.extend_from_slice(input);
                return Ok((input.len(), None));
            };
            let end = LENGTH + length;
            return match input.get(LENGTH..end) {
                Some(octets) => Ok((end, packet(octets))),
                None => {
                    self.partial.extend_from_slice(input);
                    Ok((input.len(), None))
                }
            };
        }
        let mut used = self.take(input, LENGTH);
        let Some(length) = length(&self.partial)? else {
            return Ok((used, None));
        };
        let end = LENGTH + length;
        used += self.take(input.get(used..).unwrap_or_default(), end);
        match self.partial.get(LENGTH..end) {
            Some(octets) => {
                self.used = true;
                Ok((used, packet(octets)))
            }
            None => Ok((used, None)),
        }
    }

    /// Whether a packet has begun and is not all there.
    pub fn is_within(&self) -> bool {
        !self.used && !self.partial.is_empty()
    }

    /// Takes what is missing to this many octets; how many there were.
    fn take(&mut self, input: &[u8], until: usize) -> usize {
        let missing = until.saturating_sub(self.partial.len());
        let taken = input.get(..missing).unwrap_or(input);
        self.partial.extend_from_slice(taken);
        taken.len()
    }
}

/// Of the packet that begins here; none while that cannot be said.
fn length(octets: &[u8]) -> Result<Option<usize>, ProtocolError> {
    let Some(length) = octets.first_chunk::<LENGTH>() else {
        return Ok(None);
    };
    match u32::from_be_bytes(*length) {
        length @ 1..=MAX => Ok(Some(length as usize)),
        length => Err(ProtocolError::Length(length)),
    }
}

fn packet(octets: &[u8]) -> Option<Packet<'_>> {
    let (command, data) = octets.split_first()?;
    Some(Packet {
        command: *command,
        data,
    })
}
