//! The program `orrery` for the tests that run it as a process: cargo builds it with them, in the same build.

use std::process::ExitCode;

fn main() -> ExitCode {
    orrery::program()
}
