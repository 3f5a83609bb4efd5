//! Procedures and executions as text for people.

use std::time::Duration;

use orrery_kit::config::HumanDuration;
use orrery_proto::procedures::v1::{
    ExecutionPhase, ParameterKind, Procedure, ProcedureExecution, ProcedureParameter, ProcedureSchedule,
};
use prost_types::value::Kind;
use prost_types::{Struct, Timestamp, Value};

use crate::numbers::grouped;

/// A time to the second: `2026-11-29T10:00:00Z`.
pub(super) fn time(time: Timestamp) -> String {
    Timestamp { nanos: 0, ..time }.to_string()
}

/// A phase in one word.
pub(super) fn phase(execution: &ProcedureExecution) -> &'static str {
    match execution.phase() {
        ExecutionPhase::Unspecified => "unknown",
        ExecutionPhase::Pending => "pending",
        ExecutionPhase::Running => "running",
        ExecutionPhase::Succeeded => "succeeded",
        ExecutionPhase::Failed => "failed",
        ExecutionPhase::Cancelled => "cancelled",
    }
}

/// Whether an execution has ended.
pub(super) fn has_ended(execution: &ProcedureExecution) -> bool {
    matches!(execution.phase(), ExecutionPhase::Succeeded | ExecutionPhase::Failed | ExecutionPhase::Cancelled)
}

/// How much of an execution is done: `12,000 of 245,903 (4 %)`, or `12,000` if the total is not known.
pub(super) fn amount(execution: &ProcedureExecution) -> String {
    let (processed, total) = (count(execution.processed), count(execution.total));
    if total == 0 {
        return grouped(processed);
    }
    let percent = u128::from(processed) * 100 / u128::from(total);
    format!("{} of {} ({percent} %)", grouped(processed), grouped(total))
}

/// A count of the contract, which has a sign.
pub(super) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// What an execution does at present, in one line.
pub(super) fn state(execution: &ProcedureExecution) -> String {
    let mut parts = vec![phase(execution).to_owned()];
    if !execution.step.is_empty() && !has_ended(execution) {
        parts.push(execution.step.clone());
    }
    if execution.processed > 0 || execution.total > 0 {
        parts.push(amount(execution));
    }
    if has_ended(execution) {
        return parts.join(", ");
    }
    if execution.cancel_requested {
        parts.push("to be cancelled".to_owned());
    }
    if execution.attempts > 0 {
        parts.push(format!("attempt {} failed: {}", execution.attempts, execution.error));
    }
    // By the clock of the database; what can go on at once does not wait.
    let changed = execution.update_ts.map(|time| (time.seconds, time.nanos));
    if let Some(next) = execution.next_ts.filter(|time| Some((time.seconds, time.nanos)) > changed) {
        parts.push(format!("waits until {}", time(next)));
    }
    parts.join(", ")
}

/// How long an execution ran: `12.3 s`. None if it has not begun or not ended.
pub(super) fn duration(execution: &ProcedureExecution) -> Option<String> {
    let (start, finish) = (execution.start_ts?, execution.finish_ts?);
    let seconds = (finish.seconds.saturating_sub(start.seconds)) as f64;
    let nanos = f64::from(finish.nanos.saturating_sub(start.nanos));
    Some(format!("{:.1} s", (seconds + nanos / 1e9).max(0.0)))
}

/// The result of an execution, one line for each number. What is nested is indented.
pub(super) fn result_lines(result: &Struct) -> Vec<String> {
    let mut lines = Vec::new();
    add_lines(result, 1, &mut lines);
    lines
}

fn add_lines(result: &Struct, depth: usize, lines: &mut Vec<String>) {
    let width = result.fields.keys().map(|key| key.chars().count()).max().unwrap_or(0);
    for (key, value) in &result.fields {
        let indent = "  ".repeat(depth);
        if let Some(Kind::StructValue(inner)) = &value.kind {
            lines.push(format!("{indent}{key}"));
            // Each level needs some bytes of the message, whose decoder bounds their number.
            add_lines(inner, depth + 1, lines);
        } else {
            lines.push(format!("{indent}{key:width$}  {}", value_text(value, true)));
        }
    }
}

/// Values as they are given on the command line: `dry_run=true grace=5m`.
pub(super) fn parameters(parameters: &Struct) -> String {
    let one = |(name, value): (&String, &Value)| format!("{name}={}", value_text(value, false));
    parameters.fields.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn value_text(value: &Value, separators: bool) -> String {
    match &value.kind {
        Some(Kind::BoolValue(value)) => value.to_string(),
        Some(Kind::NumberValue(number)) if separators && number.fract() == 0.0 && (0.0..9e15).contains(number) => {
            grouped(*number as u64)
        }
        Some(Kind::NumberValue(number)) => number.to_string(),
        Some(Kind::StringValue(text)) => text.clone(),
        Some(Kind::ListValue(list)) => {
            list.values.iter().map(|value| value_text(value, separators)).collect::<Vec<_>>().join(",")
        }
        Some(Kind::StructValue(inner)) => format!("{{{}}}", parameters(inner)),
        Some(Kind::NullValue(_)) | None => String::new(),
    }
}

/// When a procedure runs by itself: `every 1h, jitter 5m, next 2026-11-29T10:00:00Z, with dry_run=true`.
pub(super) fn schedule(schedule: Option<&ProcedureSchedule>) -> String {
    let interval = |schedule: &ProcedureSchedule| std_duration(schedule.interval).filter(|every| !every.is_zero());
    let Some((schedule, every)) = schedule.and_then(|schedule| Some((schedule, interval(schedule)?))) else {
        return "does not run by itself".to_owned();
    };
    let mut parts = vec![format!("every {}", HumanDuration(every))];
    if let Some(jitter) = std_duration(schedule.jitter).filter(|jitter| !jitter.is_zero()) {
        parts.push(format!("jitter {}", HumanDuration(jitter)));
    }
    if let Some(next) = schedule.next_ts {
        parts.push(format!("next {}", time(next)));
    }
    if let Some(given) = schedule.parameters.as_ref().filter(|given| !given.fields.is_empty()) {
        parts.push(format!("with {}", parameters(given)));
    }
    parts.join(", ")
}

fn std_duration(duration: Option<prost_types::Duration>) -> Option<Duration> {
    duration.and_then(|duration| Duration::try_from(duration).ok())
}

/// A procedure in several lines: name and schedule, description, parameters.
pub(super) fn procedure_lines(procedure: &Procedure) -> Vec<String> {
    let mut lines = vec![format!("{}  {}", procedure.name, schedule(procedure.schedule.as_ref()))];
    if !procedure.description.is_empty() {
        lines.push(format!("    {}", procedure.description));
    }
    let parameters: Vec<Vec<String>> = procedure.parameters.iter().map(parameter_cells).collect();
    lines.extend(table(&parameters).into_iter().map(|line| format!("    {line}")));
    lines
}

fn parameter_cells(parameter: &ProcedureParameter) -> Vec<String> {
    let kind = match parameter.kind() {
        ParameterKind::Unspecified => "unknown",
        ParameterKind::Boolean => "boolean",
        ParameterKind::Integer => "integer",
        ParameterKind::Duration => "duration",
        ParameterKind::Text => "text",
        ParameterKind::TextList => "texts",
    };
    let default = parameter.default_value.as_ref().map(|value| value_text(value, false));
    let name = format!("{}={}", parameter.name, default.unwrap_or_default());
    vec![name, kind.to_owned(), parameter.description.clone()]
}

/// Rows with aligned columns, two spaces apart. The last column is not filled.
pub(super) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let width = |place: usize| rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count()).max();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(place, cell)| format!("{cell:0$}", width(place).unwrap_or(0)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
