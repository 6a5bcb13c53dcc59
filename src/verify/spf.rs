//! SPF (RFC 7208) by the library, and what it does not see: that a name has more than one record. Doesn't say what a result leads to.

use crate::dns::Resolver;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{MessageAuthenticator, SpfOutput};
use std::net::IpAddr;

pub struct Query {
    pub client: IpAddr,
    pub helo: String,
    /// Our name.
    pub server: String,
    pub sender: String,
    pub domain: String,
}

pub async fn check(
    library: &MessageAuthenticator,
    _resolver: &Resolver,
    query: &Query,
) -> SpfOutput {
    library
        .verify_spf(SpfParameters::verify_mail_from(
            query.client,
            &query.helo,
            &query.server,
            &query.sender,
        ))
        .await
}
