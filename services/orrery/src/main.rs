//! The operator's command. Parses, calls [`orrery::cli::run`], says what went wrong in one sentence.

use std::process::ExitCode;

use clap::Parser as _;
use orrery::cli::{self, Cli};

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("orrery: {error:#}");
            ExitCode::FAILURE
        }
    }
}
