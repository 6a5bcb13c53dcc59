//! What is sent over a milter connection, counted: nothing that the filters in force don't need.

use super::*;

#[tokio::test]
async fn the_first_party_filters_that_read_no_body_are_sent_none() {
    let server = with("", |home| {
        shipped(home, "rewrite");
        shipped(home, "folders");
    })
    .await;
    let mut mta = connect(&server).await;
    // SMFIP_NOBODY, and nothing is answered but what a filter decides on.
    assert_eq!(mta.steps & 0x10, 0x10);
    mta.session().await;
    let (header, body) = MESSAGE.split_once("\r\n\r\n").unwrap();
    let long = format!("{header}\r\n\r\n{}", format!("{body}\r\n").repeat(10_000));
    let outcome = mta.message("Q1", &["alice@example.test"], &long).await;
    assert!(
        outcome.message.contains("X-Spam-Score: "),
        "{}",
        outcome.message
    );
    // Of each field one NUL in place of the colon and one in place of the CRLF.
    let fields = header.lines().map(|line| line.len() + 1);
    assert_eq!(mta.sent, fields.sum::<usize>());
}

#[tokio::test]
async fn one_that_reads_bodies_is_sent_all_of_it() {
    let server = with("", |home| shipped(home, "spam-score")).await;
    let mut mta = connect(&server).await;
    assert_eq!(mta.steps & 0x10, 0);
    mta.session().await;
    let long = format!("{MESSAGE}{}", "more\r\n".repeat(10_000));
    mta.message("Q1", &["alice@example.test"], &long).await;
    assert!(mta.sent > 60_000);
}

/// A mail server that cannot leave the body out hears at the first piece that it is enough.
#[tokio::test]
async fn a_body_that_nobody_reads_is_skipped() {
    let server = with("", |home| shipped(home, "rewrite")).await;
    let offer = (6, 0x1ff, 0x400 | 0x10_0000);
    let mut mta = Mta::offering(server.address(Protocol::Milter), offer).await;
    assert_eq!(mta.steps & 0x410, 0x400);
    mta.session().await;
    let long = format!("{MESSAGE}{}", "x".repeat(1_000_000));
    let outcome = mta.message("Q1", &["alice@example.test"], &long).await;
    assert_eq!(outcome.answer, 'c');
    assert!(mta.sent < 66_000, "{}", mta.sent);
}
