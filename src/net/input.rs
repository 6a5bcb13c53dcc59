//! What was read from a connection and not yet used; memory is held only while there is some.
//! Knows nothing of what the octets mean.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

/// Octets of one read. Large enough for a small message in one, small enough to stay in a core's cache.
const SIZE: usize = 64 * 1024;

/// Buffers that a thread keeps for the next read.
const KEPT: usize = 8;

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

fn take_buffer() -> Box<[u8]> {
    FREE.with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())
}

fn give_back(buffer: Box<[u8]>) {
    FREE.with_borrow_mut(|free| {
        if free.len() < KEPT {
            free.push(buffer);
        }
    });
}

/// The reading side of a connection. While it waits for octets it holds no buffer, so that an idle connection costs none.
#[derive(Debug, Default)]
pub struct Input {
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl Input {
    pub fn new() -> Self {
        Self::default()
    }

    /// What is there and not used.
    pub fn octets(&self) -> &[u8] {
        self.buffer
            .as_deref()
            .and_then(|buffer| buffer.get(self.start..self.end))
            .unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// The first `count` octets are used.
    pub fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.is_empty() {
            self.clear();
        }
    }

    /// Forgets what is there: at STARTTLS nothing that came before the handshake counts (RFC 3207 §4.2).
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
        if let Some(buffer) = self.buffer.take() {
            give_back(buffer);
        }
    }

    /// Reads once if nothing is there. 0 at the end of the stream. Dropped while it waits, it has lost nothing.
    pub async fn fill<R: AsyncRead + Unpin>(&mut self, stream: &mut R) -> io::Result<usize> {
        if !self.is_empty() {
            return Ok(self.end - self.start);
        }
        std::future::poll_fn(|cx| self.poll_fill(cx, stream)).await
    }

    fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut R,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = self.buffer.take().unwrap_or_else(take_buffer);
        let mut read = ReadBuf::new(&mut buffer);
        let polled = Pin::new(stream).poll_read(cx, &mut read);
        let count = read.filled().len();
        match polled {
            Poll::Ready(Ok(())) if count > 0 => {
                self.buffer = Some(buffer);
                self.start = 0;
                self.end = count;
                Poll::Ready(Ok(count))
            }
            Poll::Ready(result) => {
                give_back(buffer);
                Poll::Ready(result.map(|()| 0))
            }
            Poll::Pending => {
                give_back(buffer);
                Poll::Pending
            }
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn what_is_not_consumed_stays() {
        let (mut client, mut server) = tokio::io::duplex(64);
        let mut input = Input::new();
        client.write_all(b"abcdef").await.unwrap();
        assert_eq!(input.fill(&mut server).await.unwrap(), 6);
        input.consume(4);
        assert_eq!(input.octets(), b"ef");
        assert_eq!(input.fill(&mut server).await.unwrap(), 2);
        input.consume(99);
        assert!(input.is_empty() && input.buffer.is_none());
        drop(client);
        assert_eq!(input.fill(&mut server).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn waiting_holds_no_buffer_and_loses_nothing() {
        let (mut client, mut server) = tokio::io::duplex(64);
        let mut input = Input::new();
        {
            let waiting = input.fill(&mut server);
            tokio::pin!(waiting);
            tokio::select! {
                biased;
                _ = &mut waiting => panic!("nothing was sent"),
                () = std::future::ready(()) => {}
            }
        }
        assert!(input.buffer.is_none());
        client.write_all(b"x").await.unwrap();
        assert_eq!(input.fill(&mut server).await.unwrap(), 1);
    }
}
