//! A program and its libraries.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use crate::not_run::target_folder;

/// A program that can be run.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    /// Folders of libraries for this program only.
    libraries: Vec<PathBuf>,
}

impl Program {
    /// The program `name` in `PATH`, or in the folders for system programs, which only root has in its path.
    pub(crate) fn installed(name: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders =
            std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
        let path = folders.find_map(|folder| Some(folder.join(name)).filter(|program| program.is_file()))?;
        Some(Self { path, libraries: Vec::new() })
    }

    /// A program that was unpacked below `root` in place of `/`.
    pub(crate) fn unpacked(name: &str, root: &Path) -> Option<Self> {
        let folders = ["usr/sbin", "usr/bin", "sbin", "bin"].map(|folder| root.join(folder));
        let path = folders.iter().find_map(|folder| Some(folder.join(name)).filter(|program| program.is_file()))?;
        let mut libraries = Vec::new();
        for folder in ["usr/lib", "lib"].map(|folder| root.join(folder)) {
            let triples = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
            libraries.extend(triples.filter(|path| path.is_dir()));
            libraries.push(folder);
        }
        Some(Self { path, libraries })
    }

    /// For requirements that are not programs.
    pub(crate) fn none() -> Self {
        Self { path: PathBuf::new(), libraries: Vec::new() }
    }

    /// The path of the program.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs the program.
    pub fn command(&self) -> Command {
        self.through(&self.path)
    }

    /// A command that runs `other`, which runs this program.
    pub fn through(&self, other: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(other);
        if !self.libraries.is_empty()
            && let Ok(path) = std::env::join_paths(&self.libraries)
        {
            command.env("LD_LIBRARY_PATH", path);
        }
        command
    }

    /// The same program in a place where another account can run it: copied to `folder`, unless it is installed for
    /// everybody.
    ///
    /// # Errors
    /// The reason why it cannot be copied.
    pub fn in_reach(&self, folder: &Path) -> io::Result<Self> {
        if self.libraries.is_empty() {
            return Ok(self.clone());
        }
        let path = folder.join(self.path.file_name().unwrap_or_default());
        fs::copy(&self.path, &path)?;
        for source in &self.libraries {
            for entry in fs::read_dir(source).into_iter().flatten() {
                let entry = entry?.path();
                if entry.is_file()
                    && let Some(name) = entry.file_name()
                {
                    fs::copy(&entry, folder.join(name))?;
                }
            }
        }
        Ok(Self { path, libraries: vec![folder.to_owned()] })
    }
}

/// The Python of the clients, which `tests/clients/install` makes in the target folder. The error is the reason why it
/// cannot be used.
pub(crate) fn python_with_moto() -> Result<Program, String> {
    let environment = target_folder()?.join("clients/python");
    let path = environment.join("bin/python");
    let installed = fs::read_to_string(environment.join("installed.txt")).unwrap_or_default();
    if !path.is_file() || !installed.contains("moto") {
        return Err(format!("{} has no moto server", environment.display()));
    }
    Ok(Program { path, libraries: Vec::new() })
}
