//! What lies in the data directory is for nobody but the user that the server runs as.

use crate::support::process::{Process, Sender, run, wasmilter};
use crate::support::{self, ALICE};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// What others may use of a directory and all below it.
fn open_to_others(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.permissions().mode() & 0o077 != 0 {
            found.push(entry.path().display().to_string());
        }
        if metadata.is_dir() {
            open_to_others(&entry.path(), found);
        }
    }
}

#[test]
fn nobody_else_reads_mail_whatever_the_umask_says() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    fs::create_dir(home.path().join("plugins")).unwrap();
    support::config(home.path(), "[plugins]\ndirectory = \"plugins\"\n");
    let file = home.path().join("wasmilter.toml");
    let file = file.to_str().unwrap();
    // As one that the administrator made, with what an earlier version left in it.
    for (path, mode) in [("", 0o755), ("blobs", 0o755), ("staging", 0o755)] {
        let path = data.join(path);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }
    for earlier in ["index.sqlite", "plugins.db", "lock.open"] {
        fs::write(data.join(earlier), "").unwrap();
        let mode = PermissionsExt::from_mode(0o644);
        fs::set_permissions(data.join(earlier), mode).unwrap();
    }
    let added = run(&["account", "add", ALICE, "--config", file], "secret\n");
    assert!(added.status.success());

    let mut command = Command::new("sh");
    command.args(["-c", "umask 022; exec \"$0\" serve --config \"$1\""]);
    command.args([wasmilter().get_program(), file.as_ref()]);
    let server = Process::start(command, 3);
    let mut sender = Sender::connect(server.address("smtp")).unwrap();
    for octets in [100, 60_000, 300_000] {
        let message = format!("Subject: s\r\n\r\n{}", "0123456789\r\n".repeat(octets / 12));
        assert_eq!(sender.send(ALICE, &message).unwrap(), 250);
    }
    let mut found = Vec::new();
    open_to_others(&data, &mut found);
    let certificate = data.join("self-signed-certificate.pem");
    assert_eq!(found, [certificate.display().to_string()]);
    assert!(data.join("index.sqlite-wal").exists());
    assert!(server.terminate().success());
}

#[test]
fn a_data_directory_that_the_server_makes_is_private() {
    let home = tempfile::tempdir().unwrap();
    let config = support::config(home.path(), "");
    drop(wasmilter::app::open_store(&config).unwrap());
    let metadata = fs::metadata(&config.data_dir).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
}
