//! The hooks before any transaction: `connect` and `helo`. What filters do there lasts for the connection.

use super::{Chain, Run};
use crate::mail::{Call, Session, Verdict};
use std::sync::Arc;

/// Asks in a run of its own, with fresh instances. The tags and the turns go into the session.
pub async fn greet(chain: Chain, session: &mut Arc<Session>, call: Call) -> Verdict {
    if !chain.has(call.hook()) {
        return Verdict::Continue;
    }
    let mut run = Run::new(chain, Arc::clone(session), None);
    let verdict = run.ask(&call, &mut Arc::default(), None).await;
    let ended = run.end();
    let session = Arc::make_mut(session);
    session.tags = Arc::unwrap_or_clone(ended.tags);
    session.greet(call.hook(), ended.turns);
    verdict
}
