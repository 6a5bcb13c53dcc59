//! DKIM (RFC 6376): signatures that are not to be verified, of which the library lets some pass. Verifies none itself.

use mail_auth::common::crypto::Algorithm;
use mail_auth::dkim::Signature;

/// Names in h=. The library looks each of them up in a list of those before it, and the standard wants no more than what is signed.
pub const NAMES: usize = 256;

/// Why this one cannot pass (RFC 6376 §6.1.1).
pub fn fault(signature: &Signature) -> Option<&'static str> {
    let mut signed = signature.h.iter();
    if signature.a == Algorithm::RsaSha1 {
        // RFC 8301 §3.1
        Some("rsa-sha1 is not to be used (RFC 8301)")
    } else if signature.v != 1 {
        Some("it has no version")
    } else if signature.h.len() > NAMES {
        Some("it names too many fields")
    } else if !signed.any(|name| name.eq_ignore_ascii_case("from")) {
        Some("it does not sign From")
    } else {
        None
    }
}
