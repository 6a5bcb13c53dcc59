//! The reply to EHLO, HELO and LHLO: the extensions that this client may use (RFC 5321 §4.1.1.1).

use super::Config;
use super::handover::Verb;
use super::server::{Security, Server};

impl Server {
    pub(super) fn hello(&mut self, extended: bool) {
        let Config {
            hostname,
            size,
            recipients,
            dsn,
            ..
        } = self.config();
        // RFC 9422 §4.2: six digits at most.
        let recipients = recipients.min(&999_999);
        let reply = if extended {
            // What depends on the client.
            let mut offered = match self.security {
                Security::StartTls => "250-STARTTLS\r\n".to_owned(),
                // RFC 8689 §2
                Security::Tls => "250-REQUIRETLS\r\n".to_owned(),
                Security::Plain => String::new(),
            };
            if *dsn {
                offered.push_str("250-DSN\r\n");
            }
            for (verb, trusted) in [
                (Verb::Xclient, self.trust().xclient),
                (Verb::Xforward, self.trust().xforward),
            ] {
                if trusted {
                    offered.push_str(&format!("250-{}\r\n", verb.keyword()));
                }
            }
            format!(
                "250-{hostname}\r\n250-PIPELINING\r\n250-SIZE {size}\r\n{offered}250-8BITMIME\r\n\
                 250-SMTPUTF8\r\n250-CHUNKING\r\n250-BINARYMIME\r\n\
                 250-LIMITS RCPTMAX={recipients}\r\n250 ENHANCEDSTATUSCODES\r\n"
            )
        } else {
            format!("250 {hostname}\r\n")
        };
        self.say(reply.as_bytes());
    }
}
