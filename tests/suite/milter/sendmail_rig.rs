//! A Sendmail of our own in a temporary directory, which passes all mail on to a server of ours. Debian's package cannot be installed
//! beside Postfix: `SENDMAIL_ROOT` names a directory that it has been unpacked into.

use super::{received, soon};
use crate::support::{self, Server, free};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Sendmail {
    directory: tempfile::TempDir,
    daemon: Child,
    address: SocketAddr,
    /// Where its mail ends.
    mailboxes: Server,
}

impl Sendmail {
    /// The program. None, said in one line, where there is none or this is not root, who alone may start it.
    pub fn program() -> Option<PathBuf> {
        let program = root().join("usr/libexec/sendmail/sendmail");
        support::program(program.to_str().unwrap())?;
        support::program("m4")?;
        if !support::is_root("Sendmail") {
            return None;
        }
        let own_name = Command::new("unshare").args(["--uts", "true"]).status();
        if !own_name.is_ok_and(|status| status.success()) {
            eprintln!(
                "skipped: Sendmail cannot be given a host name of its own here (unshare --uts)"
            );
            return None;
        }
        Some(program)
    }

    /// None where there is no program. `milter` as in INPUT_MAIL_FILTER.
    pub async fn start(milter: &str) -> Option<Self> {
        let program = Self::program()?;
        let mailboxes = Server::start().await;
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        let address = free();
        std::fs::create_dir(home.join("queue")).unwrap();
        std::fs::write(home.join("switch"), "hosts files\naliases files\n").unwrap();
        let macros = root().join("usr/share/sendmail/cf/m4/cf.m4");
        let (path, macros) = (home.display(), macros.display());
        let (from, to) = (address.port(), mailboxes.smtp().port());
        let source = format!(
            "include(`{macros}')\n\
             OSTYPE(`linux')\n\
             define(`QUEUE_DIR', `{path}/queue')\n\
             define(`confPID_FILE', `{path}/pid')\n\
             define(`STATUS_FILE', `{path}/status')\n\
             define(`confSERVICE_SWITCH_FILE', `{path}/switch')\n\
             define(`ALIAS_FILE', `')\n\
             define(`HELP_FILE', `')\n\
             define(`confCW_FILE', `')\n\
             define(`confDOMAIN_NAME', `mta.example.test')\n\
             define(`confDONT_PROBE_INTERFACES', `true')\n\
             define(`confTO_IDENT', `0')\n\
             FEATURE(`nocanonify', `canonify_hosts')\n\
             FEATURE(`accept_unresolvable_domains')\n\
             define(`RELAY_MAILER_ARGS', `TCP $h {to}')\n\
             define(`SMART_HOST', `relay:[127.0.0.1]')\n\
             DAEMON_OPTIONS(`Port={from}, Addr=127.0.0.1, Name=MTA')\n\
             INPUT_MAIL_FILTER(`wasmilter', `{milter}')\n\
             MAILER(`smtp')\n"
        );
        std::fs::write(home.join("sendmail.mc"), source).unwrap();
        let made = Command::new("m4").arg(home.join("sendmail.mc")).output();
        std::fs::write(home.join("sendmail.cf"), made.unwrap().stdout).unwrap();
        let said = std::fs::File::create(home.join("said")).unwrap();
        // It waits a minute for a host name with a dot, so it gets one.
        let daemon = Command::new("unshare")
            .args(["--uts", "sh", "-c"])
            .arg("hostname mta.example.test; exec \"$0\" -bD -q1s -C \"$1\" -X \"$2\"")
            .arg(program)
            .arg(home.join("sendmail.cf"))
            .arg(home.join("traffic"))
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let mut sendmail = Self {
            address,
            directory,
            daemon,
            mailboxes,
        };
        soon(async {
            while TcpStream::connect(address).is_err() {
                let ended = sendmail.daemon.try_wait().unwrap();
                let said = std::fs::read_to_string(sendmail.directory.path().join("said"));
                assert!(ended.is_none(), "{}", said.unwrap());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        Some(sendmail)
    }

    /// Sends one message; the reply to it.
    pub async fn send(&self, to: &str, message: &str) -> (u16, String) {
        super::send(self.address, to, message).await
    }

    /// Sends one message that is taken; its queue id.
    pub async fn taken(&self, to: &str, message: &str) -> String {
        let (code, reply) = self.send(to, message).await;
        assert_eq!(code, 250, "{reply}\n{}", self.traffic());
        // 2.0.0 ID Message accepted for delivery
        reply.split(' ').nth(1).unwrap().to_owned()
    }

    /// The messages that came to this recipient, once there are so many, as it handed them over.
    pub async fn delivered(&self, to: &str, count: usize) -> Vec<String> {
        let Some(texts) = received(&self.mailboxes, to, count).await else {
            panic!("not delivered:\n{}", self.traffic());
        };
        texts
    }

    /// What it and its clients and next hops said to each other.
    pub fn traffic(&self) -> String {
        let octets = std::fs::read(self.directory.path().join("traffic")).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// Messages in its queue: `qf` those on their way, `hf` those in quarantine.
    pub fn queued(&self, kind: &str) -> usize {
        let queue = std::fs::read_dir(self.directory.path().join("queue")).unwrap();
        let names = queue.map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_str().unwrap().starts_with(kind))
            .count()
    }
}

fn root() -> PathBuf {
    std::env::var_os("SENDMAIL_ROOT").map_or_else(|| "/".into(), PathBuf::from)
}

impl Drop for Sendmail {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
