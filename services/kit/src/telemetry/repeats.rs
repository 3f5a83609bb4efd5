//! A log that nobody can fill: of each kind of line, one a second is written. The number of lines that were left out is
//! logged afterwards.
//!
//! Otherwise a line that one caller can cause a thousand times a second would cost more than the calls, and hide the
//! lines of others. Lines are of one kind if they come from the same place in the code and differ only in numbers. A
//! place that writes many kinds, such as a text that callers choose, writes only a few of them.

use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHasher};
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::error::shortened;

/// The time in which a kind is written once.
const WINDOW: Duration = Duration::from_secs(1);
/// Most kinds that one place may write in that time.
const KINDS: u32 = 8;
/// Stands for all further kinds of a place.
const OTHERS: u64 = 0;
/// The target of the lines that count what was left out. They are never left out.
const TARGET: &str = "orrery::log";

/// Lets the first line of a kind through. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    kinds: FxHashMap<(Identifier, u64), Kind>,
    /// When the window of each place began, and how many kinds it has written since.
    places: FxHashMap<Identifier, (Instant, u32)>,
}

#[derive(Debug)]
struct Kind {
    written: Instant,
    left_out: u64,
    message: String,
}

/// What the lines of one kind have in common.
#[derive(Default)]
struct Content {
    hash: FxHasher,
    message: String,
}

impl Visit for Content {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let text = format!("{value:?}");
        (field.name(), &text).hash(&mut self.hash);
        if field.name() == "message" {
            self.message = text;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        (field.name(), value).hash(&mut self.hash);
    }

    fn record_f64(&mut self, _: &Field, _: f64) {}

    fn record_i64(&mut self, _: &Field, _: i64) {}

    fn record_u64(&mut self, _: &Field, _: u64) {}
}

impl Repeats {
    fn lets_through(&self, event: &Event<'_>, now: Instant) -> bool {
        let metadata = event.metadata();
        // Finer levels are switched on by someone who wants to see each line.
        if *metadata.level() > Level::INFO || metadata.target() == TARGET {
            return true;
        }
        let place = metadata.callsite();
        let mut content = Content::default();
        event.record(&mut content);
        let kind = content.hash.finish().max(1);
        let is_recent = |since: Instant| now.saturating_duration_since(since) < WINDOW;

        let mut state = self.state();
        if let Some(kind) = state.kinds.get_mut(&(place.clone(), kind)).filter(|kind| is_recent(kind.written)) {
            kind.left_out += 1;
            return false;
        }
        let (since, kinds) = state.places.entry(place.clone()).or_insert((now, 0));
        if !is_recent(*since) {
            (*since, *kinds) = (now, 0);
        }
        let is_written = *kinds < KINDS;
        *kinds += 1;
        let kind = if is_written { kind } else { OTHERS };
        let message = content.message;
        let kind = state.kinds.entry((place, kind)).or_insert(Kind { written: now, left_out: 0, message });
        kind.written = now;
        kind.left_out += u64::from(!is_written);
        is_written
    }

    /// The lines that were left out since the last time: their text and number.
    fn left_out(&self, now: Instant) -> Vec<(String, u64)> {
        let mut state = self.state();
        let mut left_out = Vec::new();
        state.kinds.retain(|_, kind| {
            if kind.left_out > 0 {
                left_out.push((kind.message.clone(), std::mem::take(&mut kind.left_out)));
            }
            now.saturating_duration_since(kind.written) < WINDOW
        });
        state.places.retain(|_, (since, _)| now.saturating_duration_since(*since) < WINDOW);
        left_out
    }

    /// Logs once a second what was left out, forever.
    pub(super) async fn report(self) {
        let mut second = tokio::time::interval(WINDOW);
        loop {
            second.tick().await;
            for (message, lines) in self.left_out(Instant::now()) {
                tracing::warn!(target: TARGET, lines, like = shortened(&message), "lines were left out of the log");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event format that writes nothing for a line that is left out. It is not a filter: a filter would look up each
/// span whenever it is entered or left, which calls do all the time.
#[derive(Debug)]
pub(super) struct Once<F> {
    pub(super) format: F,
    pub(super) repeats: Repeats,
}

impl<S, N, F> FormatEvent<S, N> for Once<F>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        if !self.repeats.lets_through(event, Instant::now()) {
            return Ok(());
        }
        self.format.format_event(context, writer, event)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::super::lines::Lines;
    use super::*;

    /// The lines that `log` writes.
    fn logged(repeats: &Repeats, log: impl FnOnce()) -> impl Fn(&str) -> usize {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .map_event_format(|format| Once { format, repeats: repeats.clone() });
        let subscriber = tracing_subscriber::registry().with(layer);
        // With a single subscriber in the process, tracing only asks the thread that first reaches a place whether the
        // place is of interest. With two it asks both.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        tracing::subscriber::with_default(subscriber, log);
        let written = lines.take();
        move |part| written.iter().filter(|line| line.contains(part)).count()
    }

    #[test]
    fn one_line_of_a_kind_and_the_number_of_the_others() {
        let repeats = Repeats::default();
        let lines = logged(&repeats, || {
            for number in 0..1_000 {
                tracing::error!(number, ratio = 0.5 * f64::from(number), code = "INTERNAL", "the same");
                tracing::debug!("each is seen");
            }
            for address in ["a", "b", "c"] {
                tracing::info!(%address, "listening");
            }
            for number in 0..100 {
                tracing::warn!(text = %format!("chosen by a caller: {number}"), "a text");
            }
        });
        assert_eq!((lines("the same"), lines("each is seen"), lines("listening")), (1, 1_000, 3));
        assert_eq!(lines("a text"), KINDS as usize);
        let mut left_out = repeats.left_out(Instant::now());
        left_out.sort_unstable();
        assert_eq!(left_out, [("a text".to_owned(), 92), ("the same".to_owned(), 999)]);
        assert!(repeats.left_out(Instant::now()).is_empty(), "each is told once");
    }

    #[test]
    fn after_a_second_a_kind_is_written_again_and_nothing_is_kept_of_it() {
        let repeats = Repeats::default();
        let one = || tracing::warn!("again");
        let lines = logged(&repeats, || {
            one();
            one();
            std::thread::sleep(WINDOW);
            one();
        });
        assert_eq!(lines("again"), 2);
        repeats.left_out(Instant::now() + WINDOW);
        assert!(repeats.state().kinds.is_empty() && repeats.state().places.is_empty());
    }
}
