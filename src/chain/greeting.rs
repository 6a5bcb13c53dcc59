//! The hooks before any transaction: `connect` and `helo`. What they tag lasts for the connection.

use super::{Chain, Run};
use crate::mail::{Call, Session, Turn, Verdict};
use std::sync::Arc;

/// Asks in a run of its own, with fresh instances. The tags go into the session.
pub async fn greet(chain: Chain, session: &mut Arc<Session>, call: Call) -> (Verdict, Vec<Turn>) {
    if !chain.has(call.hook()) {
        return (Verdict::Continue, Vec::new());
    }
    let mut run = Run::new(chain, Arc::clone(session), None);
    let verdict = run.ask(&call, &mut Arc::default(), None).await;
    let ended = run.end();
    if *ended.tags != session.tags {
        Arc::make_mut(session).tags = Arc::unwrap_or_clone(ended.tags);
    }
    (verdict, ended.turns)
}
