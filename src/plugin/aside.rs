//! What a filter does that is not done at once goes on elsewhere: the thread that began it has connections to serve.

use std::future::{pending, poll_fn};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::Poll;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

/// Begins the work here, and lets the threads of `runtime` share in it if it waits or is interrupted.
/// In a box from the start, so that it is never moved: it is large.
pub async fn begun_here<T: Send + 'static>(
    runtime: &Handle,
    mut work: Pin<Box<impl Future<Output = T> + Send + 'static>>,
) -> T {
    if let Poll::Ready(done) = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
        return done;
    }
    match AbortOnDropHandle::new(runtime.spawn(work)).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The server is ending, and whoever waits for this with it.
            Err(_) => pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use tokio::task::yield_now;

    #[tokio::test]
    async fn only_what_is_not_done_at_once_goes_elsewhere() {
        let other = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let here = thread::current().id();
        let at_once = begun_here(other.handle(), Box::pin(async { thread::current().id() })).await;
        assert_eq!(at_once, here);
        let interrupted = Box::pin(async {
            let before = thread::current().id();
            yield_now().await;
            (before, thread::current().id())
        });
        let (before, after) = begun_here(other.handle(), interrupted).await;
        assert_eq!(before, here);
        assert_ne!(after, here);
        other.shutdown_background();
    }
}
