//! Requests for the quarantine that need the running server: a release, because filters may be asked.
//! Listing and deleting go to the store without it.

use super::Control;
use crate::accept::Request;
use crate::mail::{Address, Journal, Release};
use axum::extract::State;
use axum::{Json, Router, routing::post};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Debug, Serialize, Deserialize)]
pub struct ReleaseAll {
    pub ids: Vec<u64>,
    pub how: Release,
    pub to: Option<Address>,
}

/// What came of one of them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Came {
    pub id: u64,
    /// Of the transaction in which it was released.
    pub journal: Option<Journal>,
    /// Why it was not.
    pub error: Option<String>,
}

pub fn routes() -> Router<Arc<Control>> {
    Router::new().route("/quarantine/release", post(release))
}

async fn release(
    State(control): State<Arc<Control>>,
    Json(request): Json<ReleaseAll>,
) -> Json<Vec<Came>> {
    let mut all = Vec::with_capacity(request.ids.len());
    for id in request.ids {
        let request = Request {
            id,
            how: request.how,
            to: request.to.clone(),
        };
        all.push(match control.acceptor.release(&request).await {
            Ok(journal) => Came {
                id,
                journal: Some(journal),
                error: None,
            },
            Err(error) => Came {
                id,
                journal: None,
                error: Some(error.to_string()),
            },
        });
    }
    Json(all)
}
