//! What a guest gets of the system: clocks, randomness, and somewhere to print to. No files, arguments, environment or sockets.

use super::services::Services;
use crate::mail::{Clock, Line};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxBuilder};

/// Octets that are kept until they are taken; older ones go first, since the last words say why.
const MAX: usize = 8 * 1024;

/// Octets of randomness that a guest gets in one call, which nothing interrupts.
const MAX_RANDOM: u64 = 64 * 1024;

/// Characters of the last words.
const MAX_WORDS: usize = 500;

/// A time that is not the system's.
struct Given(Arc<dyn Clock>);

impl HostWallClock for Given {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        let micros = self.0.now().as_microsecond();
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    }
}

/// Standard output and error of a guest.
#[derive(Debug, Clone, Default)]
pub struct Output(Arc<Mutex<VecDeque<u8>>>);

impl Output {
    pub fn context(&self, services: &Services) -> WasiCtx {
        let mut builder = WasiCtxBuilder::new();
        builder.max_random_size(MAX_RANDOM);
        if let Some(clock) = &services.clock {
            builder.wall_clock(Given(Arc::clone(clock)));
        }
        if let Some(octets) = services.random.as_ref().filter(|octets| !octets.is_empty()) {
            builder
                .secure_random(Deterministic::new(octets.clone()))
                .insecure_random(Deterministic::new(octets.clone()))
                .insecure_random_seed(0);
        }
        builder
            .stdout(self.clone())
            .stderr(self.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build()
    }

    /// The lines printed so far.
    pub fn take(&self) -> Vec<String> {
        let octets: Vec<u8> = self.lock().drain(..).collect();
        lines(&octets)
    }

    /// The last two lines, if there are any: a Rust panic takes as many, besides a note that helps nobody here.
    pub fn last_words(&self) -> Option<String> {
        let octets: Vec<u8> = self.lock().iter().copied().collect();
        let mut lines = lines(&octets);
        lines.retain(|line| !line.starts_with("note: run with `RUST_BACKTRACE"));
        let words = lines.get(lines.len().saturating_sub(2)..)?.join(" ");
        let words: String = words.chars().take(MAX_WORDS).collect();
        Some(Line::lossy(&words).into()).filter(|words: &String| !words.is_empty())
    }

    fn push(&self, octets: &[u8]) {
        let mut kept = self.lock();
        kept.extend(octets);
        let excess = kept.len().saturating_sub(MAX);
        kept.drain(..excess);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lines(octets: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(octets)
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX)
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.push(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_kept() {
        let output = Output::default();
        for n in 0..2000 {
            output.push(format!("line {n}\n").as_bytes());
        }
        assert_eq!(output.last_words().unwrap(), "line 1998 line 1999");
        output.push(b"note: run with `RUST_BACKTRACE=1` to see more\n");
        assert_eq!(output.last_words().unwrap(), "line 1998 line 1999");
        assert!(output.lock().len() <= MAX);
        assert!(output.take().len() > 500 && output.take().is_empty());
        assert_eq!(output.last_words(), None);
    }
}
