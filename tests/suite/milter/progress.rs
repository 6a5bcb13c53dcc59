//! A filter that takes long.

use super::mta::Mta;
use super::native::{Act, start};
use super::*;
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::Semaphore;
use wasmilter::mail::Edit;

/// Says nothing before it is let.
struct Slow(Arc<Semaphore>);

#[async_trait]
impl Act for Slow {
    async fn act(&self) -> Vec<Edit> {
        self.0.acquire().await.unwrap().forget();
        Vec::new()
    }
}

#[tokio::test]
async fn a_mail_server_that_waits_hears_that_its_message_is_worked_on() {
    let may_go_on = Arc::new(Semaphore::new(0));
    let slow = Slow(Arc::clone(&may_go_on));
    let running = start(slow, |config| config.progress = Duration::from_millis(5)).await;
    let mut mta = Mta::connect(running.address).await;
    mta.session().await;
    mta.envelope(&["alice@example.test"]).await;
    mta.send(b'E', b"").await;
    for _ in 0..3 {
        assert_eq!(soon(mta.raw()).await, Some(('p', Vec::new())));
    }
    may_go_on.add_permits(1);
    assert_eq!(soon(mta.packet()).await, Some(('c', Vec::new())));
    // Nothing is open: the stop ends the connection.
    running.stop.cancel();
    soon(running.serving).await.unwrap();
    assert_eq!(mta.packet().await, None);
}
