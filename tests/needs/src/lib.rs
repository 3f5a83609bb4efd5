//! Programs and rights that some tests need in addition to Rust and Postgres. A test checks them first, and returns if
//! they are missing:
//!
//! ```ignore
//! if !needs::met(&[Need::Nginx]) {
//!     return;
//! }
//! ```
//!
//! A missing program is fetched if that needs no privileges. A test that has to return is recorded. The test target
//! `not_run`, which cargo runs last, lists these tests. In CI (with the environment variable `CI`) such a test fails
//! instead.

mod fetch;
pub mod not_run;
mod program;

use std::panic::Location;
use std::sync::{Mutex, PoisonError};

pub use program::Program;

/// A requirement that some machines do not meet.
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
    /// The Python of the clients, with the moto server, which has S3's interface.
    Moto,
    /// Root rights.
    Root,
}

impl Need {
    /// The name for people; for a program, the name of its file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::PgBouncer => "pgbouncer",
            Self::Ip => "ip",
            Self::Valgrind => "valgrind",
            Self::Npm => "npm",
            Self::Moto => "moto",
            Self::Root => "root",
        }
    }

    /// What to do about it.
    fn remedy(self) -> String {
        match self {
            Self::Root => "run the tests as root".to_owned(),
            Self::Npm => "install Node.js with npm".to_owned(),
            Self::Moto => "run tests/clients/install python".to_owned(),
            program => format!("install it (Debian and Ubuntu: apt install {})", program.package().unwrap_or_default()),
        }
    }

    /// The package of Debian and Ubuntu.
    fn package(self) -> Option<&'static str> {
        match self {
            Self::Nginx => Some("nginx-light"),
            Self::Haproxy => Some("haproxy"),
            Self::PgBouncer => Some("pgbouncer"),
            Self::Ip => Some("iproute2"),
            // Its parts refer to each other by absolute paths.
            Self::Valgrind | Self::Npm | Self::Moto | Self::Root => None,
        }
    }
}

/// The program or the reason why it is missing, determined once in each process.
static FOUND: Mutex<Vec<(Need, Result<Program, String>)>> = Mutex::new(Vec::new());

/// Whether this machine meets all `needs`. If not, the test of this thread is recorded as not run.
///
/// # Panics
/// In CI, if a requirement is not met.
#[track_caller]
pub fn met(needs: &[Need]) -> bool {
    let missing: Vec<(Need, String)> =
        needs.iter().filter_map(|need| find(*need).err().map(|reason| (*need, reason))).collect();
    for (need, reason) in &missing {
        lacks(need.name(), &format!("{reason}; {}", need.remedy()));
    }
    missing.is_empty()
}

/// Records that the test of this thread does not run, because `what` is missing for a `reason`.
///
/// # Panics
/// In CI.
#[track_caller]
pub fn lacks(what: &str, reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what} is missing: {reason}");
    not_run::note(&test(Location::caller()), what, reason);
}

/// A program.
///
/// # Panics
/// If it is missing: a test calls [`met`] first.
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
        Need::Moto => program::python_with_moto(),
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

/// The name of the test on this thread. With one thread for all tests there is no name, and the source location is
/// used.
fn test(place: &Location<'_>) -> String {
    match std::thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => format!("{}:{}", place.file(), place.line()),
    }
}
