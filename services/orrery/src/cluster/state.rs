//! What a cluster keeps between runs: folder, port and passwords, in one file that only its owner can read.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rand::distr::{Alphanumeric, SampleString as _};
use serde::{Deserialize, Serialize};

use super::Role;
use crate::whole_file;

/// The name of the file in the data folder.
pub(super) const FILE: &str = "cluster.json";

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct ClusterState {
    /// The folder of the server's files. It is below the data folder unless Postgres cannot enter that.
    pub(super) home: PathBuf,
    /// The port on loopback that was used last.
    pub(super) port: u16,
    passwords: BTreeMap<String, String>,
}

impl fmt::Debug for ClusterState {
    /// Leaves the passwords out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClusterState")
            .field("home", &self.home)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl ClusterState {
    /// The state of a new cluster. Each new password has 32 letters and digits (190 bits).
    pub(super) fn new(home: PathBuf, port: u16) -> Self {
        let mut state = Self { home, port, passwords: BTreeMap::new() };
        for role in Role::ALL {
            state.passwords.insert(role.name().to_owned(), Alphanumeric.sample_string(&mut rand::rng(), 32));
        }
        state
    }

    /// Loads the state from `data_dir`; `None` if there is no cluster.
    pub(super) fn load(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = data_dir.join(FILE);
        match whole_file::read(&path, 1) {
            Ok(text) => {
                serde_json::from_slice(&text).map(Some).with_context(|| format!("{} is damaged", path.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Replaces the file as a whole.
    pub(super) fn save(&self, data_dir: &Path) -> anyhow::Result<()> {
        let path = data_dir.join(FILE);
        let beside = data_dir.join(format!("{FILE}.new"));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    pub(super) fn password(&self, role: Role) -> &str {
        self.passwords.get(role.name()).map_or("", String::as_str)
    }

    /// A URL over loopback.
    pub(super) fn url(&self, role: Role, database: &str) -> String {
        format!("postgres://{}:{}@127.0.0.1:{}/{database}", role.name(), self.password(role), self.port)
    }
}
