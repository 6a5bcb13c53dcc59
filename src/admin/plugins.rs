//! What commands ask about plugins of a running server: how they fare, and which version is in force.
//! Decides nothing: the host does.

use super::control::{Control, Problem, plugins};
use crate::plugin::{Health, Host, Pin};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub fn routes() -> Router<Arc<Control>> {
    Router::new()
        .route("/plugins/status", post(status))
        .route("/plugins/rollback", post(rollback))
        .route("/plugins/pin", post(pin))
        .route("/plugins/unpin", post(unpin))
}

/// Which plugin, and which of its versions.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Which {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub version: Option<String>,
}

impl Which {
    fn name(&self) -> Result<&str, Problem> {
        let missing = || Problem::new(StatusCode::BAD_REQUEST, "name the plugin");
        self.name.as_deref().ok_or_else(missing)
    }
}

fn refused(text: String) -> Problem {
    Problem::new(StatusCode::CONFLICT, text)
}

async fn status(
    State(control): State<Arc<Control>>,
    Json(which): Json<Which>,
) -> Result<Json<Vec<Health>>, Problem> {
    let host: &Host = plugins(&control)?;
    let health = host.health(which.name.as_deref()).await;
    match (&which.name, health.is_empty()) {
        (Some(name), true) => Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("there is no plugin {name}: `wasmilter plugin list` says which there are"),
        )),
        _ => Ok(Json(health)),
    }
}

async fn rollback(
    State(control): State<Arc<Control>>,
    Json(which): Json<Which>,
) -> Result<Json<Pin>, Problem> {
    let done = plugins(&control)?.rollback(which.name()?, which.version.as_deref());
    done.await.map(Json).map_err(refused)
}

async fn pin(
    State(control): State<Arc<Control>>,
    Json(which): Json<Which>,
) -> Result<Json<Pin>, Problem> {
    let done = plugins(&control)?.pin(which.name()?, which.version.as_deref());
    done.await.map(Json).map_err(refused)
}

async fn unpin(
    State(control): State<Arc<Control>>,
    Json(which): Json<Which>,
) -> Result<Json<Pin>, Problem> {
    let done = plugins(&control)?.unpin(which.name()?);
    done.await.map(Json).map_err(refused)
}
