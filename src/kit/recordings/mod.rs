//! What a case has recorded of the world: answers of DNS and HTTP, what the plugin keeps, the time, and faults. Runs nothing.

mod format;
mod scene;

pub use format::{Faults, KvValue, RecordedDns, RecordedHttp, deserialize_clock, is_same, show};
pub use scene::{Recordings, Scene};
