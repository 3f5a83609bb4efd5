//! Says at the end of `cargo test --locked --workspace` which tests did not run, and why.

use std::process::ExitCode;

use orrery_tests_needs::not_run::take_report;

fn main() -> ExitCode {
    // Tools ask a test program for the list of its tests, and this one has none.
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    match take_report() {
        Ok(None) => println!("\nEvery test had what it needs.\n"),
        Ok(Some(report)) => eprintln!("\n{report}\n"),
        Err(error) => {
            eprintln!("which tests did not run is not known: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
