//! Who may connect to a Unix socket: its mode and its owner. Looks into no directory service: users are those of this machine's files.

use std::io;
use std::path::Path;
use std::str::FromStr;

/// Of a socket file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    pub mode: u32,
    /// None: whoever runs this program.
    pub owner: Option<Owner>,
}

impl Default for Access {
    /// This user and group.
    fn default() -> Self {
        Self {
            mode: 0o660,
            owner: None,
        }
    }
}

impl Access {
    pub fn new(mode: u32) -> Self {
        Self { mode, owner: None }
    }

    pub(super) fn give(&self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::{PermissionsExt, chown};
        if let Some(owner) = self.owner {
            chown(path, owner.user, owner.group)?;
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(self.mode))
    }
}

/// A user, a group or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub user: Option<u32>,
    pub group: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    #[error("there is no {what} {name:?} in {file}")]
    Unknown {
        what: &'static str,
        name: String,
        file: &'static str,
    },
    #[error("it names no user and no group")]
    Empty,
}

impl FromStr for Owner {
    type Err = OwnerError;
    /// USER, USER:GROUP or :GROUP, by name or number.
    fn from_str(text: &str) -> Result<Self, OwnerError> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let owner = Self {
            user: id(user, "user", "/etc/passwd")?,
            group: id(group, "group", "/etc/group")?,
        };
        if owner.user.is_none() && owner.group.is_none() {
            return Err(OwnerError::Empty);
        }
        Ok(owner)
    }
}

/// The third field of the line whose first is the name; both files have it there.
fn id(name: &str, what: &'static str, file: &'static str) -> Result<Option<u32>, OwnerError> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    });
    found.map(Some).ok_or_else(|| OwnerError::Unknown {
        what,
        name: name.to_owned(),
        file,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_named_or_numbered() {
        let owner = |user, group| Ok(Owner { user, group });
        assert_eq!("root:root".parse(), owner(Some(0), Some(0)));
        assert_eq!("root".parse(), owner(Some(0), None));
        assert_eq!(":daemon".parse::<Owner>().unwrap().user, None);
        assert_eq!("12:34".parse(), owner(Some(12), Some(34)));
        let error = "nobody-of-that-name".parse::<Owner>().unwrap_err();
        assert!(error.to_string().contains("/etc/passwd"), "{error}");
        assert_eq!(":".parse::<Owner>(), Err(OwnerError::Empty));
    }
}
