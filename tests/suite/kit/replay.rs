//! Another version of a filter on the mail that came already, beside the server that took it.

use super::*;
use wasmilter::app;
use wasmilter::config::Config;
use wasmilter::mail::{Address, MailboxName};
use wasmilter::store::{Copying, Store};

const JUNK: &str = "[plugins]\ndirectory = \"plugins\"\n[policy]\njunk = 3.0\n";

fn install(home: &Path, folder: &str, manifest: &str) {
    let folder = home.join(folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("plugin.toml"), manifest).unwrap();
    fs::write(folder.join("filter.wasm"), GUEST).unwrap();
}

struct Site {
    home: tempfile::TempDir,
    config: PathBuf,
    server: Process,
}

impl Site {
    /// A server with three filters that has taken five messages: one was refused, one is in quarantine, one has been moved since.
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let root = home.path();
        install(
            root,
            "plugins/first",
            "order = 1\n[config]\nmessage = [\"score EARLY 1 x\", \"when letter add Subject found-by-first\", \"tag first.seen yes\"]\n",
        );
        install(
            root,
            "plugins/guest",
            "name = \"guest\"\nversion = \"1\"\norder = 2\n[config]\nhelo = [\"tag guest.helo yes\"]\n\
             message = [\"kv increment n 1\", \"when casino score CASINO 4 a\", \"add X-Old 1\", \"when refuse reject 550 5 no\", \
             \"when strange quarantine odd\"]\ndeliver = [\"when letter file Letters\"]\n",
        );
        install(
            root,
            "plugins/last",
            "order = 3\n[config]\nmessage = [\"score LATE 0.5 x\"]\n",
        );
        let settings = support::config(root, JUNK);
        support::accounts(&settings).await;
        let config = root.join("wasmilter.toml");
        let server = Process::serve(&config, 3);
        let mut sender = Sender::connect(server.address("smtp")).unwrap();
        for (subject, code) in [
            ("a casino", 250),
            ("a letter", 250),
            ("please refuse", 550),
            ("strange", 250),
            ("plain", 250),
        ] {
            let message = format!("Subject: {subject}\r\n\r\nhello");
            assert_eq!(sender.send(ALICE, &message).unwrap(), code, "{subject}");
        }
        let site = Self {
            home,
            config,
            server,
        };
        site.tidy_up(&settings).await;
        site
    }

    /// What a person does with the casino mail in Junk.
    async fn tidy_up(&self, settings: &Config) {
        let store = app::open_store(settings).unwrap();
        let login = Address::parse(ALICE).unwrap();
        let account = store.account(&login).await.unwrap().unwrap().id;
        let mailbox = async |name: &str| {
            let name = MailboxName::new(name).unwrap();
            store.mailbox(account, &name).await.unwrap().id
        };
        let moving = Copying {
            from: mailbox("Junk").await,
            uids: &[1],
            to: mailbox("Archive").await,
            r#move: true,
        };
        let copied = store.copy(moving).await.unwrap();
        assert_eq!(copied.uids.len(), 1);
    }

    fn replay(&self, arguments: &[&str], code: i32) -> Output {
        let config = ["--config", path(&self.config)];
        plugin(&[&["replay"], arguments, &config].concat(), code)
    }
}

#[tokio::test]
async fn a_new_version_is_tried_on_what_came() {
    let site = Site::new().await;
    // What was in force would do the same again, by whatever name.
    let path_of = site.home.path().join("plugins/guest");
    for same in ["guest", "guest@1", path(&path_of)] {
        said(
            &site.replay(&[same], 0),
            &[
                "guest 1 in the place of guest",
                "5 transactions, 4 replayed: 4 would be the same, 0 not",
                "1 not replayed, for the message is not kept here any more: 1 refused",
            ],
        );
    }
    // It sees what the filter before it did, and the symbols of the one after it count for the message.
    install(
        site.home.path(),
        "next",
        "name = \"guest\"\nversion = \"2\"\n[config]\nhelo = [\"tag guest.helo yes\"]\n\
         message = [\"kv increment n 1\", \"when found-by-first score LETTER 2 x\", \"when casino reject 550 5 no\", \"add X-Old 2\"]\n\
         deliver = [\"when letter file Post\"]\n",
    );
    let next = site.home.path().join("next");
    let text = site.replay(&[path(&next)], 3);
    said(
        &text,
        &[
            "guest 2 in the place of guest",
            "4 replayed: 0 would be the same, 4 not",
            // Of all but the one that it refuses before.
            "      3  edit of X-Old: add 1 -> add 2",
            "      1  verdict at message: continue -> reject",
            "      1  verdict at message: quarantine -> continue",
            "      1  symbol CASINO: 4.0 -> -",
            "      1  symbol LETTER: - -> 2.0",
            "      1  edit of mailbox: Letters (for some) -> Post (for some)",
            // EARLY 1, LETTER 2 and LATE 0.5 reach the threshold.
            "      1  the message: deliver -> Junk, by its score",
            "      1  the message: quarantine -> deliver",
            "      1  the message: Junk, by its score -> reject",
        ],
    );
    assert!(!stdout(&text).contains("in which it"), "{}", stdout(&text));
    let json = site.replay(&[path(&next), "--json"], 3);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["replayed"], &json["gone"]["refused"]),
        (&4.into(), &1.into())
    );
    let sample = json["changes"][0]["samples"][0].as_str().unwrap();
    let explained = run(&["explain", sample, "--config", path(&site.config)], "");
    said(&explained, &["guest 1 at message"]);
    assert!(site.server.terminate().success());
}

#[tokio::test]
async fn what_is_wrong_or_unknown_is_said() {
    let site = Site::new().await;
    let next = site.home.path().join("next");
    let version = |script: &str| {
        install(
            site.home.path(),
            "next",
            &format!("name = \"other\"\nversion = \"2\"\n[config]\n{script}\n"),
        );
    };
    // A filter that was never there, at the end of the chain; it asks for what nobody has noted.
    version("message = [\"kv get x\", \"dns a example.org\"]");
    said(
        &site.replay(&[path(&next)], 0),
        &[
            "other 2 in the place of other",
            "4 would be the same",
            "3 in which it asks DNS, HTTP or kv for what the journal does not have",
        ],
    );
    version("message = [\"when letter panic now\"]");
    said(
        &site.replay(&[path(&next), "--against", "guest"], 1),
        &[
            "other 2 in the place of guest",
            "1 in which it FAILS and the other had not",
            "verdict at message: continue -> failed (trap)",
            "edit of tag guest.helo: yes -> -",
        ],
    );
    said(
        &site.replay(&["guest@7"], 1),
        &["guest 7 is not among the versions that were in force here: 1"],
    );
    said(
        &site.replay(&["nobody"], 1),
        &["nobody is not in the plugin directory", "nobody@VERSION"],
    );
    said(
        &site.replay(&["./none.wasm"], 1),
        &["there is no ./none.wasm"],
    );
    said(
        &site.replay(&["guest", "--since", "0s"], 1),
        &["the journal has no transaction of that time"],
    );
}
