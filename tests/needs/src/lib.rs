//! Programs and rights that some tests need beyond Rust and Postgres. A test asks for them first and returns if they are not there:
//!
//! ```ignore
//! if !needs::met(&[Need::Nginx]) {
//!     return;
//! }
//! ```
//!
//! A program that is not installed is fetched where that takes no privilege. A test that has to return is noted, and the test
//! target `not_run`, which cargo runs last, lists all of them. Under CI (the environment variable `CI` is set) it fails instead.

mod fetch;
pub mod not_run;
mod program;

use std::panic::Location;
use std::sync::{Mutex, PoisonError};

pub use program::Program;

/// Something that not every machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The HTTP proxy nginx.
    Nginx,
    /// The proxy HAProxy.
    Haproxy,
    /// The connection pooler PgBouncer.
    PgBouncer,
    /// `ip` of iproute2, which changes routes.
    Ip,
    /// The memory checker Valgrind.
    Valgrind,
    /// `npm`, with Node.js.
    Npm,
    /// To run as root.
    Root,
}

impl Need {
    /// As a person says it; for a program, what it is called as.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::PgBouncer => "pgbouncer",
            Self::Ip => "ip",
            Self::Valgrind => "valgrind",
            Self::Npm => "npm",
            Self::Root => "root",
        }
    }

    /// What to do about it.
    fn remedy(self) -> String {
        match self {
            Self::Root => "run the tests as root".to_owned(),
            Self::Npm => "install Node.js with npm".to_owned(),
            program => format!("install it (Debian and Ubuntu: apt install {})", program.package().unwrap_or_default()),
        }
    }

    /// The package of Debian and Ubuntu that is fetched.
    fn package(self) -> Option<&'static str> {
        match self {
            Self::Nginx => Some("nginx-light"),
            Self::Haproxy => Some("haproxy"),
            Self::PgBouncer => Some("pgbouncer"),
            Self::Ip => Some("iproute2"),
            // Its parts name one another by absolute paths.
            Self::Valgrind | Self::Npm | Self::Root => None,
        }
    }
}

/// What was found, or why it is not there. Asked for once in a process.
static FOUND: Mutex<Vec<(Need, Result<Program, String>)>> = Mutex::new(Vec::new());

/// Whether this machine has all of `needs`. If not, the test of this thread is noted as not run.
///
/// # Panics
/// Under CI, if one is not there.
#[track_caller]
pub fn met(needs: &[Need]) -> bool {
    let missing: Vec<(Need, String)> =
        needs.iter().filter_map(|need| find(*need).err().map(|reason| (*need, reason))).collect();
    for (need, reason) in &missing {
        lacks(need.name(), &format!("{reason}; {}", need.remedy()));
    }
    missing.is_empty()
}

/// Notes that the test of this thread does not run, since `what` is not there for a `reason`.
///
/// # Panics
/// Under CI.
#[track_caller]
pub fn lacks(what: &str, reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is missing: {reason}");
    not_run::note(&test(Location::caller()), what, reason);
}

/// A program, wherever it is.
///
/// # Panics
/// If it is not there: a test asks [`met`] first.
pub fn program(need: Need) -> Program {
    match find(need) {
        Ok(program) => program,
        Err(reason) => unreachable!("{} is missing: {reason}; {}", need.name(), need.remedy()),
    }
}

fn find(need: Need) -> Result<Program, String> {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = found.iter().find(|(known, _)| *known == need) {
        return known.clone();
    }
    let result = match need {
        Need::Root if nix::unistd::geteuid().is_root() => Ok(Program::none()),
        Need::Root => Err("this account is not root".to_owned()),
        program => Program::installed(program.name()).map_or_else(
            || match program.package() {
                Some(package) => fetch::fetch(program.name(), package),
                None => Err("it is not installed".to_owned()),
            },
            Ok,
        ),
    };
    found.push((need, result.clone()));
    result
}

/// The name of the test that runs on this thread. With one thread for all tests it has none; the place stands for it then.
fn test(place: &Location<'_>) -> String {
    match std::thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => format!("{}:{}", place.file(), place.line()),
    }
}
