//! The answers to ACME's HTTP-01 challenges (RFC 8555 §8.3).
//! Knows no orders.

use crate::net::acme::Answers;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

pub fn routes(answers: Answers) -> Router {
    let answer = move |Path(token): Path<String>| async move {
        match answers.get(&token) {
            Some(answer) => ([(CONTENT_TYPE, "application/octet-stream")], answer).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    };
    Router::new().route("/.well-known/acme-challenge/{token}", get(answer))
}
