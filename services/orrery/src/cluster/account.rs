//! The operating system account that runs Postgres. Postgres refuses to run as root, so root gives its processes and
//! files to an unprivileged account. Everybody else uses their own account.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use nix::unistd::{Uid, User};

/// The account that runs Postgres and owns its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// The account of this process.
    Own,
    /// Another account, which root switches to.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// The account for a new cluster: that of this process, or `postgres` or `nobody` for root.
    pub(super) fn for_new_cluster() -> anyhow::Result<Self> {
        if !Uid::effective().is_root() {
            return Ok(Self::Own);
        }
        for name in ["postgres", "nobody"] {
            if let Ok(Some(user)) = User::from_name(name) {
                return Ok(Self::Other { uid: user.uid.as_raw(), gid: user.gid.as_raw() });
            }
        }
        bail!(
            "Postgres refuses to run as root, and there is no account postgres or nobody to run it as; create one \
             (useradd \
             --system postgres) or run this as another user"
        )
    }

    /// The account that owns `home`, the folder of an existing cluster.
    pub(super) fn of_cluster(home: &Path) -> anyhow::Result<Self> {
        let owner = fs::metadata(home).with_context(|| format!("cannot look at {}", home.display()))?;
        let effective = Uid::effective();
        if !effective.is_root() {
            if owner.uid() == effective.as_raw() {
                return Ok(Self::Own);
            }
            bail!(
                "{} belongs to another user (uid {}); run this as that user or choose another --data-dir",
                home.display(),
                owner.uid()
            );
        }
        if owner.uid() == 0 {
            return Self::for_new_cluster();
        }
        Ok(Self::Other { uid: owner.uid(), gid: owner.gid() })
    }

    /// A command that runs as this account. It has its own process group, so that Ctrl-C in the terminal does not reach
    /// it, and none of the environment variables about other Postgres servers.
    pub(super) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG") || name.starts_with("LC_")) {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C").stdin(Stdio::null()).process_group(0);
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Makes this account the owner of `path`, with access for nobody else.
    pub(super) fn take(self, path: &Path, mode: u32) -> anyhow::Result<()> {
        let taken = match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid } => chown(path, Some(uid), Some(gid)),
        };
        taken
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
            .with_context(|| format!("cannot give {} to the account that runs Postgres", path.display()))
    }

    /// Whether this account can enter `folder`, which needs permission on each parent folder.
    pub(super) fn can_enter(self, folder: &Path) -> bool {
        self == Self::Own
            || self
                .command(Path::new("/bin/sh"))
                .args(["-c", "cd \"$1\"", "enter"])
                .arg(folder)
                .current_dir("/")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn root_hands_over_and_the_other_account_needs_open_folders() {
        let folder = tempfile::tempdir().unwrap();
        let account = Account::for_new_cluster().unwrap();
        if !Uid::effective().is_root() {
            assert_eq!(account, Account::Own);
            assert!(account.can_enter(folder.path()));
            return;
        }
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        account.take(&inner, 0o700).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!account.can_enter(&inner), "the folder above is closed to all but root");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(account.can_enter(&inner));
        assert_eq!(Account::of_cluster(&inner).unwrap(), account);
    }
}
