//! The one program; see [`orrery::program`].

use std::process::ExitCode;

fn main() -> ExitCode {
    orrery::program()
}
