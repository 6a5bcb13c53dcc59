//! A real Haraka with its rspamd plugin in front of the filters: found where NODE_PATH says, as nodemailer is.

use super::{MESSAGE, address, journal, logged, with};
use crate::support::http::SECRET;
use crate::support::process::Sender;
use crate::support::{free, program};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Takes all mail, and writes the header that it has in the end.
const QUEUE: &str = "
exports.hook_rcpt = function (next) { next(OK) }
exports.hook_queue = function (next, connection) {
  const header = connection.transaction.header.lines().join('')
  require('fs').writeFileSync(QUEUED, header)
  next(OK, 'queued')
}
";

struct Haraka(Child);

impl Drop for Haraka {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Its program; None, said in one line, where it or the plugin is not installed.
fn installed() -> Option<String> {
    let mut node = program("node")?;
    let find = "require.resolve('haraka-plugin-rspamd'); console.log(require.resolve('Haraka/bin/haraka'))";
    let found = node.args(["-e", find]).output().unwrap();
    if found.status.success() {
        return Some(String::from_utf8(found.stdout).unwrap().trim().to_owned());
    }
    assert!(
        std::env::var_os("WASMILTER_REQUIRE_PROGRAMS").is_none(),
        "Haraka is not installed"
    );
    eprintln!("skipped: Haraka is not installed");
    None
}

fn start(program: &str, home: &Path, scanner: SocketAddr) -> (Haraka, SocketAddr) {
    let made = Command::new("node")
        .args([program, "-i"])
        .arg(home)
        .output()
        .unwrap();
    assert!(made.status.success());
    let own = free();
    let config = home.join("config");
    let port = scanner.port();
    for (file, text) in [
        ("smtp.ini", format!("listen={own}\nnodes=0\n")),
        ("plugins", "rspamd\nours\n".to_owned()),
        (
            "rspamd.ini",
            format!(
                "host = 127.0.0.1\nport = {port}\nadd_headers = always\n[auth]\nheader = Password\nvalue = {SECRET}\n\
                 [defer]\nerror = true\ntimeout = true\n[check]\nprivate_ip = true\nlocal_ip = true\nrelay = true\n"
            ),
        ),
    ] {
        std::fs::write(config.join(file), text).unwrap();
    }
    let queued = format!("'{}'", home.join("queued").display());
    std::fs::create_dir_all(home.join("plugins")).unwrap();
    std::fs::write(
        home.join("plugins/ours.js"),
        QUEUE.replace("QUEUED", &queued),
    )
    .unwrap();
    let child = Command::new("node")
        .args([program, "-c"])
        .arg(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let haraka = Haraka(child);
    let started = Instant::now();
    while TcpStream::connect(own).is_err() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "Haraka did not start"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    (haraka, own)
}

#[tokio::test(flavor = "multi_thread")]
async fn haraka_does_what_the_filters_say() {
    let Some(program) = installed() else { return };
    let server = with(&format!("secret = \"{SECRET}\"\n")).await;
    let home = server.home.path().join("haraka");
    let (_haraka, own) = start(&program, &home, address(&server));
    let mut sender = Sender::connect(own).unwrap();
    let mut send = |subject: &str| {
        let message = MESSAGE
            .replace("hello", subject)
            .replace("m1@", &format!("{subject}@"));
        sender
            .send_octets("alice@example.test", message.as_bytes())
            .unwrap()
    };
    assert_eq!(send("hello").0, 250);
    assert_eq!(send("refuse"), (550, "no way".to_owned()));
    let (code, text) = send("spam");
    assert!(code == 550 && text.contains("judged to be spam"), "{text}");
    assert_eq!(send("later").0, 451);
    assert_eq!(send("junk").0, 250);
    let queued = std::fs::read_to_string(home.join("queued")).unwrap();
    for line in [
        "X-Spam-Flag: YES",
        "X-Rspamd-Score: 6.2",
        "X-Rspamd-Report: JUNK(6.2)",
    ] {
        assert!(queued.contains(line), "{queued}");
    }
    // What it said of its client and of the envelope.
    let said = logged(&journal(&server, "junk@client.test").await);
    assert!(
        said[0].contains("127.0.0.1") && said[0].contains("client.example"),
        "{said:?}"
    );
    assert_eq!(said[1], "sender@client.example -> alice@example.test");
}
