//! The server is killed, frozen and started again under a Postfix load: as content filter and as proxy filter no message is lost, and none
//! gets through that no filter has seen.

use super::postfix::services;
use super::*;
use crate::milter::postfix_rig::Postfix;
use crate::milter::restart::{Load, nothing_is_lost, signal};
use crate::support::process::Process;
use crate::support::{self, free};
use std::path::PathBuf;

/// A configuration for a server at this address, with a filter that marks what it has seen.
pub fn prepared(home: &Path, address: SocketAddr, reinject: SocketAddr) -> PathBuf {
    guest(home, r#"message = ["add X-Filtered yes"]"#);
    let config = config("smtp", reinject, "").replacen("127.0.0.1:0", &address.to_string(), 1);
    support::config(home, &config);
    home.join("wasmilter.toml")
}

/// A frozen server is given up after a second; what waits is tried again soon.
const PATIENCE: &str = "smtp_connect_timeout = 1\nsmtp_helo_timeout = 1\nsmtp_mail_timeout = 1\nsmtp_rcpt_timeout = 1\n\
    smtp_xforward_timeout = 1\nsmtp_data_init_timeout = 1\nsmtp_data_xfer_timeout = 1\nsmtp_data_done_timeout = 1\n\
    smtpd_proxy_timeout = 1\nqueue_run_delay = 1\nminimal_backoff_time = 1\nmaximal_backoff_time = 1\ntransport_retry_time = 1\n\
    smtp_destination_concurrency_failed_cohort_limit = 0\nscan_destination_concurrency_failed_cohort_limit = 0\n";

/// `waits`: Postfix keeps what it cannot hand over, else its client has to come again.
async fn under_load(way: &str, waits: bool) {
    let home = tempfile::tempdir().unwrap();
    let (at, reinject) = (free(), free());
    let way = format!("{}{PATIENCE}", way.replace("FILTER", &at.to_string()));
    let Some(postfix) = Postfix::with_services("", &way, &services(reinject, "")).await else {
        return;
    };
    let file = prepared(home.path(), at, reinject);
    let mut server = Process::serve(&file, 4);
    let (load, senders) = Load::start(postfix.address);
    let troubled = async |before: usize| match waits {
        true => until(|| postfix.log().matches("status=deferred").count() > before).await,
        false => load.defers().await,
    };
    let deferred = || postfix.log().matches("status=deferred").count();
    for round in 0..3 {
        load.acknowledges(20).await;
        match round {
            0 => server.kill(),
            1 => {
                let before = deferred();
                signal("-STOP", &server);
                troubled(before).await;
                signal("-CONT", &server);
                load.acknowledges(5).await;
                server.kill();
            }
            _ => assert!(server.terminate().success()),
        }
        // Nobody is there.
        troubled(deferred()).await;
        server = Process::serve(&file, 4);
    }
    load.acknowledges(20).await;
    let acknowledged = load.end(senders);
    // What waits in Postfix goes on by itself.
    until(|| postfix.queued() == 0).await;
    let delivered = postfix.delivered(ALICE, acknowledged.len()).await;
    nothing_is_lost(&acknowledged, &delivered, &postfix.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_content_filter_a_message_waits_in_postfix() {
    under_load(
        "content_filter = scan:FILTER\nreceive_override_options = no_address_mappings\n",
        true,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_proxy_filter_a_message_is_answered_when_it_is_there_or_not_at_all() {
    under_load("smtpd_proxy_filter = FILTER\n", false).await;
}
