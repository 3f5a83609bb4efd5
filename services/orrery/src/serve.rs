//! One service as this process: `orrery serve catalog`, or this program by a link named `orrery-catalog`.
//!
//! One program holds all services, so that what they share is compiled, linked and shipped once.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use futures::future::BoxFuture;
use orrery_kit::config::{Binary, Configuration as _, ServiceConfig};
use orrery_kit::server::run_until_signal;
use orrery_orders::config::OrdersConfig;

use crate::terminal::{Answer, exit_with};

/// A slice whose service can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// Products and their metrics.
    Catalog,
    /// Orders.
    Orders,
    /// Tags and artifacts.
    Records,
}

impl Slice {
    const ALL: [Self; 3] = [Self::Catalog, Self::Orders, Self::Records];

    /// How the service calls itself.
    fn binary(self) -> Binary {
        match self {
            Self::Catalog => orrery_catalog::BINARY,
            Self::Orders => orrery_orders::BINARY,
            Self::Records => orrery_records::BINARY,
        }
    }

    /// The slice whose service is meant by the name of this program: `orrery-catalog`, in whatever folder.
    pub fn of_program(name: &OsStr) -> Option<Self> {
        let name = Path::new(name).file_name()?;
        Self::ALL.into_iter().find(|slice| name == slice.binary().name)
    }

    /// Runs the service until a signal ends it. `arguments` begins with the program's name. Prints and exits where they ask for help
    /// or cannot be used.
    ///
    /// # Errors
    /// What keeps the service from running.
    pub fn serve(self, arguments: Vec<OsString>) -> BoxFuture<'static, anyhow::Result<()>> {
        let binary = self.binary();
        match self {
            Self::Catalog => {
                let config = ServiceConfig::from_arguments(binary, arguments).unwrap_or_else(|error| exit_with(&error));
                Box::pin(run_until_signal(config, orrery_catalog::run))
            }
            Self::Orders => {
                let config = OrdersConfig::from_arguments(binary, arguments).unwrap_or_else(|error| exit_with(&error));
                Box::pin(run_until_signal(config, orrery_orders::run))
            }
            Self::Records => {
                let config = ServiceConfig::from_arguments(binary, arguments).unwrap_or_else(|error| exit_with(&error));
                Box::pin(run_until_signal(config, orrery_records::run))
            }
        }
    }
}

/// Which service to run.
#[derive(Clone, Debug, Subcommand)]
pub enum Service {
    /// Products and their metrics.
    #[command(disable_help_flag = true)]
    Catalog(Flags),
    /// Orders with their lines, addresses and sums.
    #[command(disable_help_flag = true)]
    Orders(Flags),
    /// Tags and artifacts. Answers health and reflection only, so far.
    #[command(disable_help_flag = true)]
    Records(Flags),
}

/// What the service is told.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// The service's own flags; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    flags: Vec<OsString>,
}

/// Runs `service`.
///
/// # Errors
/// What keeps it from running.
pub async fn run(service: Service) -> anyhow::Result<ExitCode> {
    let (slice, Flags { flags }) = match service {
        Service::Catalog(flags) => (Slice::Catalog, flags),
        Service::Orders(flags) => (Slice::Orders, flags),
        Service::Records(flags) => (Slice::Records, flags),
    };
    let arguments = std::iter::once(slice.binary().name.into()).chain(flags).collect();
    slice.serve(arguments).await?;
    Ok(ExitCode::SUCCESS)
}

/// Where links go.
#[derive(Args, Clone, Debug)]
pub struct LinkOptions {
    /// The folder to make the links in.
    folder: PathBuf,
}

/// Makes a link to this program for each service, by the service's name. Links that are there already stay.
///
/// # Errors
/// A sentence with the path that cannot be made.
pub fn link(options: &LinkOptions) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("this program has no path")?;
    let mut answer = Answer::default();
    for slice in Slice::ALL {
        let link = options.folder.join(slice.binary().name);
        match std::os::unix::fs::symlink(&program, &link) {
            Ok(()) => answer.line(format_args!("{} -> {}", link.display(), program.display())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && leads_to(&link, &program) => {}
            Err(error) => return Err(error).with_context(|| format!("{} cannot be made", link.display())),
        }
    }
    answer.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn leads_to(link: &Path, program: &Path) -> bool {
    matches!((fs::canonicalize(link), fs::canonicalize(program)), (Ok(one), Ok(other)) if one == other)
}
