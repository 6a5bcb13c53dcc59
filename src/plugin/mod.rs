//! The plugin host: loads WASM components as filters, runs them in their bounds, swaps generations. Knows nothing of where mail goes.

pub mod embedded;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
pub struct Config {
    pub cpu: Duration,
    pub wall: Duration,
    pub memory: u64,
    pub cache: Option<PathBuf>,
    pub status_file: Option<PathBuf>,
}
impl Config {
    pub fn new(_: PathBuf) -> Self {
        Self {
            cpu: Duration::ZERO,
            wall: Duration::ZERO,
            memory: 0,
            cache: None,
            status_file: None,
        }
    }
}
pub struct Generation {
    pub number: u64,
    pub filters: Arc<[Arc<dyn crate::mail::Filter>]>,
}
pub struct Host;
impl Host {
    pub async fn start(_: Config) -> Result<Self, String> {
        Ok(Self)
    }
    pub fn generation(&self) -> Arc<Generation> {
        Arc::new(Generation {
            number: 1,
            filters: Arc::new([]),
        })
    }
    pub fn subscribe(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }
}
