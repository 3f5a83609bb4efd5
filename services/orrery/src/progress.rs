//! Progress on standard error: bars, and the notices that are printed between them.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tonic::Status;

use crate::client::describe;
use crate::terminal::eprint_line;

/// A bar that looks like the template. It is hidden if standard error is not a terminal.
pub(crate) fn progress_bar(bar: ProgressBar, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    set_template(&bar, template);
    bar
}

/// Changes what a bar looks like. A template that cannot be read changes nothing.
pub(crate) fn set_template(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

/// Prints that a call failed and is tried again after this wait.
pub(crate) fn print_retry(bar: &ProgressBar, status: &Status, wait: Duration) {
    bar.suspend(|| eprint_line(format_args!("{}; trying again in {:.1} s", describe(status), wait.as_secs_f64())));
}
