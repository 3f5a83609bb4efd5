//! How far an execution is, on standard error: a bar on a terminal, otherwise a line for each change.

use std::time::Duration;

use indicatif::ProgressBar;
use orrery_proto::procedures::v1::ProcedureExecution;

use super::text;
use crate::progress::{progress_bar, set_template};
use crate::terminal::{eprint_line, printable};

const BAR: &str = "{bar:30} {percent:>3} % {elapsed} {wide_msg}";
const SPINNER: &str = "{spinner} {elapsed} {wide_msg}";

/// The display.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Whether the bar has a length.
    has_length: bool,
    changes: Changes,
}

/// Which states are new.
#[derive(Debug, Default)]
pub(super) struct Changes {
    last: Option<String>,
}

impl Changes {
    /// The state of an execution in one line, if it is another one than last time: a stream that was opened again
    /// begins with what was told before.
    pub(super) fn next(&mut self, execution: &ProcedureExecution) -> Option<&str> {
        let line = printable(&text::state(execution));
        if self.last.as_ref() == Some(&line) {
            return None;
        }
        Some(self.last.insert(line))
    }
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = progress_bar(ProgressBar::new_spinner(), SPINNER);
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Self::on(bar)
    }

    fn on(bar: ProgressBar) -> Self {
        Self { bar, has_length: false, changes: Changes::default() }
    }

    /// The bar, hidden if there is no terminal.
    pub(super) fn bar(&self) -> ProgressBar {
        self.bar.clone()
    }

    /// Shows an execution.
    pub(super) fn show(&mut self, execution: &ProcedureExecution) {
        let Some(line) = self.changes.next(execution) else { return };
        if self.bar.is_hidden() {
            return eprint_line(line);
        }
        let (processed, total) = (text::count(execution.processed), text::count(execution.total));
        if total > 0 {
            if !std::mem::replace(&mut self.has_length, true) {
                set_template(&self.bar, BAR);
            }
            self.bar.set_length(total.max(processed));
        }
        self.bar.set_position(processed);
        self.bar.set_message(line.to_owned());
    }

    /// Removes the bar.
    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io;
    use std::sync::{Arc, Mutex};

    use indicatif::{ProgressDrawTarget, TermLike};
    use orrery_proto::procedures::v1::ExecutionPhase;

    use super::*;

    /// A terminal that keeps what was written since the last look.
    #[derive(Clone, Debug, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl Screen {
        fn look(&self) -> String {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            100
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, line: &str) -> io::Result<()> {
            self.write_str(line)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_bar_grows_as_soon_as_there_is_a_total() {
        let screen = Screen::default();
        let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        let bar = ProgressBar::with_draw_target(None, target);
        set_template(&bar, SPINNER);
        let mut progress = Progress::on(bar);
        let mut execution = ProcedureExecution { phase: ExecutionPhase::Pending.into(), ..Default::default() };
        progress.show(&execution);
        let pending = screen.look();
        assert!(pending.contains("pending") && !pending.contains('%'), "{pending}");

        execution.phase = ExecutionPhase::Running.into();
        execution.step = "scan".into();
        (execution.processed, execution.total) = (50, 200);
        progress.show(&execution);
        let running = screen.look();
        assert!(running.contains(" 25 % ") && running.contains("running, scan, 50 of 200 (25 %)"), "{running}");
        progress.show(&execution);
        assert_eq!(screen.look(), "", "nothing has changed");
        // The total was an estimate, and too low.
        execution.processed = 400;
        progress.show(&execution);
        let more = screen.look();
        assert!(more.contains("100 % ") && more.contains("400 of 200 (200 %)"), "{more}");
        progress.finish();
        assert!(!screen.look().contains("running"));
    }
}
