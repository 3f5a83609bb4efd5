//! Runs one service in this process: `orrery serve catalog`, or this program called as `orrery-catalog`.
//!
//! All services are in one program, so that shared code is compiled, linked and shipped once.

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
use orrery_records::config::RecordsConfig;

use crate::terminal::{CommandOutput, exit_with};

/// A slice with a service.
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

    /// The schemas of all slices.
    pub const SCHEMAS: [&'static str; 3] = [orrery_catalog::SCHEMA, orrery_orders::SCHEMA, orrery_records::SCHEMA];

    /// The name and version of the service's program.
    fn binary(self) -> Binary {
        match self {
            Self::Catalog => orrery_catalog::BINARY,
            Self::Orders => orrery_orders::BINARY,
            Self::Records => orrery_records::BINARY,
        }
    }

    /// The slice whose service has this program name, such as `/usr/bin/orrery-catalog`.
    pub fn of_program(name: &OsStr) -> Option<Self> {
        let name = Path::new(name).file_name()?;
        Self::ALL.into_iter().find(|slice| name == slice.binary().name)
    }

    /// Runs the service until a signal stops it. `arguments` starts with the program's name. Prints help, or an error
    /// about arguments, and exits if needed.
    ///
    /// # Errors
    /// The reason why the service cannot run.
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
                let config = RecordsConfig::from_arguments(binary, arguments).unwrap_or_else(|error| exit_with(&error));
                Box::pin(run_until_signal(config, orrery_records::run))
            }
        }
    }
}

/// The service to run.
#[derive(Clone, Debug, Subcommand)]
pub enum Service {
    /// Products and their metrics.
    #[command(disable_help_flag = true)]
    Catalog(Flags),
    /// Orders with their lines, addresses and totals.
    #[command(disable_help_flag = true)]
    Orders(Flags),
    /// Tags and artifacts. Only health and reflection so far.
    #[command(disable_help_flag = true)]
    Records(Flags),
}

/// The arguments of the service.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// The service's own flags; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    flags: Vec<OsString>,
}

/// Runs a service.
///
/// # Errors
/// The reason why it cannot run.
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

/// Where to create the links.
#[derive(Args, Clone, Debug)]
pub struct LinkOptions {
    /// The folder to make the links in.
    folder: PathBuf,
}

/// Creates a link to this program for each service. Existing links to it are kept.
///
/// # Errors
/// Names the path that could not be created.
pub fn link(options: &LinkOptions) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("this program has no path")?;
    let mut answer = CommandOutput::default();
    for slice in Slice::ALL {
        let link = options.folder.join(slice.binary().name);
        match std::os::unix::fs::symlink(&program, &link) {
            Ok(()) => answer.line(format_args!("{} -> {}", link.display(), program.display())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && leads_to(&link, &program) => {}
            Err(error) => return Err(error).with_context(|| format!("{} cannot be created", link.display())),
        }
    }
    answer.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn leads_to(link: &Path, program: &Path) -> bool {
    matches!((fs::canonicalize(link), fs::canonicalize(program)), (Ok(one), Ok(other)) if one == other)
}
