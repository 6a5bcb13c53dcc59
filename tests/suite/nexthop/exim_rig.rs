//! An Exim of our own in a temporary directory, which passes on to a server of ours what it does not hand to anybody else. Debian's package
//! cannot be installed beside Postfix: `EXIM_ROOT` names a directory that it has been unpacked into.

use crate::milter::{received, send};
use crate::support::{self, Server, free};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use wasmilter::net::Owner;

/// It has users and processes of its own.
const ALONE: [&str; 3] = ["--mount", "--pid", "--fork"];

/// What a test writes into its configuration, each at the beginning of the place it belongs to.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    /// `[0.0.0.0]:25` becomes `address`.
    pub main: String,
    /// In the ACL for RCPT, before and behind the check whether the domain is ours.
    pub rcpt: String,
    pub ours: String,
    /// In that for the message.
    pub data: String,
    /// Further ACLs.
    pub acls: String,
    pub routers: String,
    pub transports: String,
    pub retry: String,
}

pub struct Exim {
    directory: tempfile::TempDir,
    daemon: Child,
    pub address: SocketAddr,
    /// Where its mail ends.
    mailboxes: Server,
}

impl Exim {
    /// The program. None, said in one line, where there is none or it cannot be started.
    pub fn program() -> Option<PathBuf> {
        let program = root().join("usr/sbin/exim4");
        support::program(program.to_str().unwrap())?;
        if !support::is_root("Exim") {
            return None;
        }
        let alone = Command::new("unshare").args(ALONE).arg("true").status();
        if !alone.is_ok_and(|status| status.success()) {
            eprintln!("skipped: Exim cannot be given its user here (unshare --mount --pid)");
            return None;
        }
        Some(program)
    }

    /// None where there is no program.
    pub async fn start(lines: &Lines) -> Option<Self> {
        let program = Self::program()?;
        let mailboxes = Server::start().await;
        let directory = tempfile::tempdir().unwrap();
        let address = free();
        let home = directory.path();
        configure(home, lines, address, mailboxes.smtp());
        // Where its user may run it too.
        std::fs::copy(program, home.join("exim")).unwrap();
        std::fs::set_permissions(home.join("exim"), PermissionsExt::from_mode(0o755)).unwrap();
        let said = std::fs::File::create(home.join("said")).unwrap();
        let daemon = Command::new("unshare")
            .args(ALONE)
            .args(["sh", "-c"])
            .arg("mount --bind passwd /etc/passwd && mount --bind group /etc/group && exec ./exim -C \"$PWD/conf\" -bdf -q1s")
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let mut exim = Self {
            directory,
            daemon,
            address,
            mailboxes,
        };
        super::until(|| {
            let ended = exim.daemon.try_wait().unwrap();
            assert!(ended.is_none(), "{}{}", exim.read("said"), exim.log());
            TcpStream::connect(address).is_ok()
        })
        .await;
        Some(exim)
    }

    /// Sends one message; the reply to it.
    pub async fn send(&self, to: &str, message: &str) -> (u16, String) {
        send(self.address, to, message).await
    }

    /// Sends one message that is taken; its id.
    pub async fn taken(&self, to: &str, message: &str) -> String {
        let (code, reply) = self.send(to, message).await;
        assert_eq!(code, 250, "{reply}\n{}", self.log());
        // OK id=ID
        reply.split_once("id=").unwrap().1.to_owned()
    }

    /// The messages that came to this recipient, once there are so many, as it handed them over.
    pub async fn delivered(&self, to: &str, count: usize) -> Vec<String> {
        let Some(texts) = received(&self.mailboxes, to, count).await else {
            panic!("not delivered:\n{}", self.log());
        };
        texts
    }

    pub fn log(&self) -> String {
        self.read("mainlog")
    }

    fn read(&self, name: &str) -> String {
        let octets = std::fs::read(self.directory.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&octets).into_owned()
    }

    /// Messages in its queue, frozen ones too.
    pub fn queued(&self) -> usize {
        self.envelopes().len()
    }

    pub fn frozen(&self) -> usize {
        let envelopes = self.envelopes();
        let frozen = envelopes.iter().filter(|text| text.contains("\n-frozen "));
        frozen.count()
    }

    fn envelopes(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.directory.path().join("spool/input")) else {
            return Vec::new();
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.to_str().unwrap().ends_with("-H"))
            // One that has been delivered meanwhile is gone.
            .filter_map(|path| std::fs::read(path).ok())
            .map(|octets| String::from_utf8_lossy(&octets).into_owned())
            .collect()
    }
}

fn root() -> PathBuf {
    std::env::var_os("EXIM_ROOT").map_or_else(|| "/".into(), PathBuf::from)
}

fn configure(home: &Path, lines: &Lines, address: SocketAddr, mailboxes: SocketAddr) {
    let path = home.display();
    let (to, port) = (mailboxes.ip(), mailboxes.port());
    let Lines {
        main,
        rcpt,
        ours,
        data,
        acls,
        routers,
        transports,
        retry,
    } = lines;
    let main = main.replace("[0.0.0.0]:25", &format!("[127.0.0.1]:{}", address.port()));
    // What bounces to the client that tests send as comes to bob.
    let conf = format!(
        "primary_hostname = mta.example.test\n\
         exim_path = {path}/exim\n\
         spool_directory = {path}/spool\n\
         log_file_path = {path}/%slog\n\
         pid_file_path = {path}/pid\n\
         keep_environment =\n\
         tls_advertise_hosts =\n\
         deliver_drop_privilege = true\n\
         acl_smtp_rcpt = rcpt\n\
         acl_smtp_data = data\n\
         {main}\n\
         begin acl\n\
         rcpt:\n{rcpt}\n\
         \x20 require domains = example.test\n{ours}\n\
         \x20 accept\n\
         data:\n{data}\n\
         \x20 accept\n\
         {acls}\n\
         begin routers\n\
         {routers}\n\
         bounces:\n  driver = redirect\n  domains = client.example\n  data = bob@example.test\n\
         nobody:\n  driver = redirect\n  local_parts = nobody\n  data = :fail: there is nobody\n  allow_fail\n\
         onward:\n  driver = manualroute\n  route_list = * {to}::{port}\n  self = send\n  transport = onward\n\
         begin transports\n\
         {transports}\n\
         onward:\n  driver = smtp\n  message_linelength_limit = 1M\n\
         begin retry\n\
         {retry}\n\
         * * F,1h,1h\n"
    );
    std::fs::write(home.join("conf"), conf).unwrap();
    // It wants to be this user, who is there where its package is installed.
    let nobody: Owner = "nobody:nogroup".parse().unwrap();
    let (user, group) = (nobody.user.unwrap(), nobody.group.unwrap());
    let ours = |file: &str, line: &str| {
        let theirs = std::fs::read_to_string(Path::new("/etc").join(file)).unwrap();
        std::fs::write(home.join(file), format!("{line}\n{theirs}")).unwrap();
    };
    ours(
        "passwd",
        &format!("Debian-exim:x:{user}:{group}::{path}:/usr/sbin/nologin"),
    );
    ours("group", &format!("Debian-exim:x:{group}:"));
    std::fs::create_dir(home.join("spool")).unwrap();
    for directory in [home, &home.join("spool")] {
        std::fs::set_permissions(directory, PermissionsExt::from_mode(0o755)).unwrap();
        chown(directory, Some(user), Some(group)).unwrap();
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        // It is the first of its processes, and all of them end with it: none writes into the directory again.
        let id = self.daemon.id();
        let first = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let first = first.unwrap_or_default();
        let _ = Command::new("kill")
            .arg("-KILL")
            .args(first.split_whitespace())
            .status();
        let _ = self.daemon.wait();
    }
}
