//! Files and directories that nobody but the user who runs the program can use, whatever the umask says.
//! Knows nothing of what is in them.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The bits of a mode that are for the group and for all others.
const OTHERS: u32 = 0o077;

/// With those above it that are missing. One that is there becomes private too.
pub fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    close(path);
    Ok(())
}

/// A file that is made with these is private.
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

pub fn create_new(path: &Path) -> io::Result<fs::File> {
    options().write(true).create_new(true).open(path)
}

/// In place of what is there.
pub fn write(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut file = options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    io::Write::write_all(&mut file, octets)
}

/// A database of SQLite, which gives the files beside it the same mode. One that is there is not opened: closing it would end the locks
/// that this process has on it.
pub fn database(path: &Path) -> io::Result<()> {
    match create_new(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            for beside in ["", "-wal", "-shm"] {
                let mut name = path.as_os_str().to_owned();
                name.push(beside);
                close(Path::new(&name));
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Whoever may use it without owning it goes on as before.
pub fn close(path: &Path) {
    let Ok(metadata) = fs::metadata(path) else {
        return;
    };
    let mode = metadata.permissions().mode();
    if mode & OTHERS != 0
        && let Err(error) = fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS))
    {
        tracing::warn!(path = %path.display(), %error, "others can read it, and that could not be changed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_there_becomes_private() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir(at("d")).unwrap();
        fs::set_permissions(at("d"), Permissions::from_mode(0o755)).unwrap();
        directory(&at("d")).unwrap();
        directory(&at("d/e/f")).unwrap();
        for file in ["i", "i-wal"] {
            fs::write(at(file), "octets").unwrap();
            fs::set_permissions(at(file), Permissions::from_mode(0o644)).unwrap();
        }
        database(&at("i")).unwrap();
        database(&at("new")).unwrap();
        let modes = ["d", "d/e", "d/e/f", "i", "i-wal", "new"].map(|name| mode(&at(name)));
        assert_eq!(modes, [0o700, 0o700, 0o700, 0o600, 0o600, 0o600]);
        assert_eq!(fs::read(at("i")).unwrap(), b"octets");
    }
}
