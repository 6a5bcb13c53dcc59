//! A Postfix of our own in a temporary directory, on a port that the system chooses, which delivers by LMTP to a server of ours.

use crate::support::{self, ALICE, BOB, Server, free};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use wasmilter::config::Protocol;

pub struct Postfix {
    directory: tempfile::TempDir,
    pub address: SocketAddr,
    /// Where its mail ends.
    pub mailboxes: Server,
}

impl Postfix {
    /// None, said in one line, where there is none or this is not root, which alone may start one. `milter` as in smtpd_milters;
    /// `more` is put behind the rest of main.cf.
    pub async fn start(milter: &str, more: &str) -> Option<Self> {
        Self::with_services(milter, more, "").await
    }

    /// `services` is put behind the rest of master.cf.
    pub async fn with_services(milter: &str, more: &str, services: &str) -> Option<Self> {
        support::program("postfix")?;
        if !support::is_root("Postfix") {
            return None;
        }
        let lmtp = "[[listener]]\nprotocol = \"lmtp\"\naddress = \"127.0.0.1:0\"\n";
        let mailboxes = Server::with(lmtp, |_| ()).await;
        let directory = tempfile::tempdir().unwrap();
        let address = free();
        let postfix = Self {
            address,
            directory,
            mailboxes,
        };
        postfix.configure(milter, more, services);
        postfix.control("start");
        super::soon(async {
            while TcpStream::connect(address).is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        Some(postfix)
    }

    fn configure(&self, milter: &str, more: &str, services: &str) {
        let home = self.directory.path();
        // Its processes run as its own user.
        std::fs::set_permissions(home, PermissionsExt::from_mode(0o755)).unwrap();
        for folder in ["queue", "data"] {
            std::fs::create_dir(home.join(folder)).unwrap();
        }
        let user: wasmilter::net::Owner = "postfix".parse().unwrap();
        chown(home.join("data"), user.user, None).unwrap();
        let path = home.display();
        let lmtp = self.mailboxes.address(Protocol::Lmtp).port();
        let main = format!(
            "compatibility_level = 3.6\n\
             queue_directory = {path}/queue\n\
             data_directory = {path}/data\n\
             maillog_file_prefixes = {path}\n\
             maillog_file = {path}/log\n\
             myhostname = mx.example.test\n\
             inet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\n\
             mynetworks = 127.0.0.0/8\n\
             mydestination =\n\
             alias_maps =\n\
             local_recipient_maps =\n\
             local_header_rewrite_clients =\n\
             virtual_mailbox_domains = example.test\n\
             virtual_mailbox_maps = static:all\n\
             virtual_transport = lmtp:inet:127.0.0.1:{lmtp}\n\
             default_transport = error:this test sends nothing elsewhere\n\
             smtpd_recipient_restrictions = reject_unauth_destination\n\
             smtpd_authorized_xclient_hosts = 127.0.0.1\n\
             smtpd_client_connection_count_limit = 0\n\
             smtpd_milters = {milter}\n\
             milter_default_action = tempfail\n\
             {more}"
        );
        std::fs::write(home.join("main.cf"), main).unwrap();
        let port = self.address.port();
        let master = format!(
            "127.0.0.1:{port} inet n - n - - smtpd\n\
             cleanup unix n - n - 0 cleanup\n\
             qmgr unix n - n 300 1 qmgr\n\
             rewrite unix - - n - - trivial-rewrite\n\
             bounce unix - - n - 0 bounce\n\
             defer unix - - n - 0 bounce\n\
             trace unix - - n - 0 bounce\n\
             flush unix n - n 1000? 0 flush\n\
             proxymap unix - - n - - proxymap\n\
             showq unix n - n - - showq\n\
             error unix - - n - - error\n\
             retry unix - - n - - error\n\
             discard unix - - n - - discard\n\
             lmtp unix - - n - - lmtp\n\
             anvil unix - - n - 1 anvil\n\
             postlog unix-dgram n - n - 1 postlogd\n{services}"
        );
        std::fs::write(home.join("master.cf"), master).unwrap();
    }

    fn control(&self, word: &str) {
        let log = self.directory.path().join("control");
        let said = std::fs::File::create(&log).unwrap();
        // Not by a pipe: its processes would hold it open.
        let status = Command::new("postfix")
            .arg("-c")
            .arg(self.directory.path())
            .arg(word)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .status()
            .unwrap();
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(status.success(), "postfix {word}: {said}\n{}", self.log());
    }

    /// What it has written into its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Sends one message; the reply to it.
    pub async fn send(&self, to: &str, message: &str) -> (u16, String) {
        super::send(self.address, to, message).await
    }

    /// Sends one message that is taken; its queue id.
    pub async fn taken(&self, to: &str, message: &str) -> String {
        let (code, reply) = self.send(to, message).await;
        assert_eq!(code, 250, "{reply}\n{}", self.log());
        reply.trim().rsplit(' ').next().unwrap().to_owned()
    }

    /// The messages that alice has, as Postfix handed them over, once there are so many.
    pub async fn delivered(&self, to: &str, count: usize) -> Vec<String> {
        let Some(texts) = super::received(&self.mailboxes, to, count).await else {
            panic!("not delivered:\n{}", self.log());
        };
        texts
    }

    /// Files in its hold queue.
    pub fn held(&self) -> usize {
        files(&self.directory.path().join("queue/hold"))
    }

    /// Messages in its other queues.
    pub fn queued(&self) -> usize {
        let queue = self.directory.path().join("queue");
        ["maildrop", "incoming", "active", "deferred"]
            .iter()
            .map(|name| files(&queue.join(name)))
            .sum()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.control("stop");
        } else {
            // The first failure is the one to be seen.
            let directory = self.directory.path();
            let _ = Command::new("postfix")
                .arg("-c")
                .arg(directory)
                .arg("stop")
                .status();
        }
    }
}

fn files(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

/// A message as it was delivered, without the Received field that Postfix put into it.
pub fn without_trace(delivered: &str) -> String {
    let start = delivered.find("Received: from ").unwrap();
    let mut end = start;
    for line in delivered[start..].split_inclusive("\r\n") {
        if end > start && !line.starts_with([' ', '\t']) {
            break;
        }
        end += line.len();
    }
    format!("{}{}", &delivered[..start], &delivered[end..])
}

pub const BOTH: [&str; 2] = [ALICE, BOB];
