//! The state of one connection, compared with the limits.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::copy::{CopyIn, CopyOut};
use super::frames::Piece;
use super::limits::{Limit, Violation, WireLimits};
use super::messages::{completion, string, text};
use super::within::{NestedWrites, first_number};

/// A request that the server has not answered yet.
enum Request {
    /// One or several statements, answered with a ReadyForQuery at the end.
    Query(Statement),
    /// The execution of a portal.
    Execute(Arc<Portal>),
    /// Answered with a ReadyForQuery.
    Sync,
}

/// The beginning of a statement's text, and facts about it.
#[derive(Clone, Default)]
struct Statement {
    text: Arc<str>,
    within: NestedWrites,
    /// The whole text, where it came in one piece.
    whole: Arc<str>,
}

impl Statement {
    /// Parses a statement. Fails if it would write an unknown number of rows.
    fn of(sql: &[u8]) -> Result<Self, Violation> {
        let whole = String::from_utf8_lossy(sql);
        let statement = Self { text: text(sql).into(), within: NestedWrites::of(&whole), whole: whole.as_ref().into() };
        match statement.within {
            NestedWrites::Nothing | NestedWrites::Reported => Ok(statement),
            NestedWrites::Unreported => {
                let statement = statement.text.to_string();
                Err(Violation { limit: Limit::UnreportedRows, allowed: 0, seen: 1, statement })
            }
        }
    }
}

/// A statement with its parameters, and the counts of its result.
struct Portal {
    statement: Statement,
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// A session as seen on the wire.
pub(super) struct Session {
    limits: WireLimits,
    /// The texts of the statements in the order in which they were sent, if they are recorded.
    recorded: Option<Arc<Mutex<Vec<String>>>>,
    requests: VecDeque<Request>,
    statements: HashMap<Vec<u8>, Statement>,
    portals: HashMap<Vec<u8>, Arc<Portal>>,
    /// The last statement sent, for a violation that occurs when no response is expected.
    last: Arc<str>,
    /// Counts of the current result.
    rows: u64,
    bytes: u64,
    copy_in: Option<CopyIn>,
    copy_out: Option<CopyOut>,
    /// When the transaction, or the statement outside of one, began.
    since: Option<Instant>,
    /// Whether a transaction was open when the server was last ready.
    open: bool,
    /// Whether a transaction was opened since, or one of several statements has ended and the next one shares its
    /// transaction.
    opened: bool,
}

impl Session {
    pub(super) fn new(limits: WireLimits, recorded: Option<Arc<Mutex<Vec<String>>>>) -> Self {
        Self {
            limits,
            recorded,
            requests: VecDeque::new(),
            statements: HashMap::new(),
            portals: HashMap::new(),
            last: "".into(),
            rows: 0,
            bytes: 0,
            copy_in: None,
            copy_out: None,
            since: None,
            open: false,
            opened: false,
        }
    }

    /// Handles a message from the client.
    pub(super) fn asked(&mut self, piece: &Piece<'_>) -> Result<(), Violation> {
        let (tag, body) = match *piece {
            Piece::Message { tag, body, .. } | Piece::More { tag, bytes: body } => (tag, body),
        };
        if tag == b'd' {
            let rows = self.copy_in.as_mut().map_or(0, |copy| copy.take(body));
            return self.check(Limit::StatementRows, self.limits.statement_rows, rows);
        }
        if matches!(piece, Piece::More { .. }) {
            return Ok(());
        }
        match tag {
            // Passwords, the end of a copy and Terminate start no work.
            b'p' | b'c' | b'f' | b'X' => return Ok(()),
            b'Q' => {
                let statement = Statement::of(string(body).0)?;
                self.last = Arc::clone(&statement.text);
                self.record(&statement);
                // The server may delay this response until it has more to send.
                self.opened |= begins_transaction(&self.last);
                self.requests.push_back(Request::Query(statement));
            }
            b'F' => self.requests.push_back(Request::Query(Statement {
                text: "a function call".into(),
                within: NestedWrites::Nothing,
                whole: "".into(),
            })),
            b'P' => {
                let (name, rest) = string(body);
                let statement = Statement::of(string(rest).0)?;
                self.statements.insert(name.to_vec(), statement);
            }
            b'B' => {
                let (portal, rest) = string(body);
                let statement = self.statements.get(string(rest).0).cloned().unwrap_or_default();
                let bound = Portal { statement, rows: AtomicU64::new(0), bytes: AtomicU64::new(0) };
                self.portals.insert(portal.to_vec(), Arc::new(bound));
            }
            b'E' => {
                if let Some(portal) = self.portals.get(string(body).0).cloned() {
                    self.last = Arc::clone(&portal.statement.text);
                    self.record(&portal.statement);
                    self.requests.push_back(Request::Execute(portal));
                }
            }
            // During a copy the server does not respond.
            b'S' if self.copy_in.is_none() => self.requests.push_back(Request::Sync),
            b'C' => {
                if let Some((&kind, name)) = body.split_first() {
                    let name = string(name).0;
                    if kind == b'P' { drop(self.portals.remove(name)) } else { drop(self.statements.remove(name)) }
                }
            }
            _ => {}
        }
        self.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn record(&self, statement: &Statement) {
        if let Some(recorded) = &self.recorded {
            recorded.lock().unwrap_or_else(PoisonError::into_inner).push(statement.whole.to_string());
        }
    }

    /// Handles a message from the server.
    pub(super) fn answered(&mut self, piece: &Piece<'_>) -> Result<(), Violation> {
        let Piece::Message { tag, length, body } = *piece else { return Ok(()) };
        match tag {
            b'D' => {
                self.check_written(body)?;
                return self.row(true, length);
            }
            b'd' => {
                let is_row = self.copy_out.as_mut().is_some_and(|copy| copy.is_row(body));
                return self.row(is_row, length);
            }
            b'G' => self.copy_in = Some(CopyIn::new(body)),
            b'H' => self.copy_out = Some(CopyOut::new(body)),
            b'C' => return self.completed(body),
            b's' => {
                if let Some(Request::Execute(portal)) = self.requests.front() {
                    portal.rows.fetch_add(self.rows, Ordering::Relaxed);
                    portal.bytes.fetch_add(self.bytes, Ordering::Relaxed);
                }
                self.end_statement();
            }
            b'I' => self.end_statement(),
            // Requests after it are skipped up to the next Sync.
            b'E' => {
                while let Some(Request::Execute(_)) = self.requests.front() {
                    self.end_statement();
                }
                self.end_statement();
            }
            b'Z' => {
                self.end_statement();
                self.requests.pop_front();
                (self.open, self.opened) = (body.first() != Some(&b'I'), false);
                if !self.open {
                    self.since = (!self.requests.is_empty()).then(Instant::now);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Uses the number of rows that a statement reports for writes within it.
    fn check_written(&self, row: &[u8]) -> Result<(), Violation> {
        let (within, before) = match self.requests.front() {
            Some(Request::Query(statement)) => (statement.within, 0),
            Some(Request::Execute(portal)) => (portal.statement.within, portal.rows.load(Ordering::Relaxed)),
            Some(Request::Sync) | None => return Ok(()),
        };
        if within != NestedWrites::Reported || self.rows + before > 0 {
            return Ok(());
        }
        match first_number(row) {
            Some(written) => self.check(Limit::StatementRows, self.limits.statement_rows, written),
            None => Err(self.violation(Limit::UnreportedRows, 0, 1)),
        }
    }

    /// Counts a row of a result, or other bytes of it.
    fn row(&mut self, is_row: bool, length: usize) -> Result<(), Violation> {
        self.rows += u64::from(is_row);
        self.bytes += length as u64;
        let (mut rows, mut bytes) = (self.rows, self.bytes);
        if let Some(Request::Execute(portal)) = self.requests.front() {
            rows += portal.rows.load(Ordering::Relaxed);
            bytes += portal.bytes.load(Ordering::Relaxed);
        }
        self.check(Limit::QueryRows, self.limits.query_rows, rows)?;
        self.check(Limit::ResultBytes, self.limits.result_bytes, bytes)
    }

    fn completed(&mut self, body: &[u8]) -> Result<(), Violation> {
        let (command, count) = completion(body);
        let wrote = match command.as_str() {
            "INSERT" | "UPDATE" | "DELETE" | "MERGE" => true,
            "COPY" => self.copy_in.is_some(),
            // `create table as` and `select into` have the same tag and return no rows.
            "SELECT" => self.rows == 0,
            "COMMIT" => {
                // The next statement in the message is in a new transaction.
                self.since = Some(Instant::now());
                false
            }
            _ => false,
        };
        if wrote {
            self.check(Limit::StatementRows, self.limits.statement_rows, count.unwrap_or(0))?;
        }
        self.opened = command != "COMMIT";
        self.end_statement();
        Ok(())
    }

    /// Ends the current statement.
    fn end_statement(&mut self) {
        (self.rows, self.bytes) = (0, 0);
        (self.copy_in, self.copy_out) = (None, None);
        if let Some(Request::Execute(_)) = self.requests.front() {
            self.requests.pop_front();
        }
    }

    fn check(&self, limit: Limit, allowed: u64, seen: u64) -> Result<(), Violation> {
        if seen > allowed { Err(self.violation(limit, allowed, seen)) } else { Ok(()) }
    }

    fn violation(&self, limit: Limit, allowed: u64, seen: u64) -> Violation {
        let statement = match self.requests.front() {
            Some(Request::Query(statement)) => &statement.text,
            Some(Request::Execute(portal)) => &portal.statement.text,
            Some(Request::Sync) | None => &self.last,
        };
        Violation { limit, allowed, seen, statement: statement.to_string() }
    }

    /// The limit for what is running, its value, and the start.
    fn running(&self) -> Option<(Limit, Duration, Instant)> {
        let since = self.since?;
        Some(if self.open || self.opened {
            (Limit::TransactionAge, self.limits.transaction, since)
        } else {
            (Limit::StatementAge, self.limits.statement, since)
        })
    }

    /// An error if what is running is too old, else when to check again. Something that starts after a check is not too
    /// old before the next.
    pub(super) fn age(&self) -> Result<Instant, Violation> {
        let now = Instant::now();
        let shortest = self.limits.transaction.min(self.limits.statement);
        let next = now + shortest / 2;
        let Some((limit, allowed, since)) = self.running() else { return Ok(next) };
        let end = since + allowed;
        if now >= end {
            let milliseconds = |span: Duration| span.as_millis() as u64;
            return Err(self.violation(limit, milliseconds(allowed), milliseconds(now - since)));
        }
        Ok(end.min(next))
    }
}

/// Whether the first of these statements opens a transaction.
fn begins_transaction(statements: &str) -> bool {
    let first = statements.split_whitespace().next().unwrap_or_default();
    let first = first.trim_end_matches(';').to_ascii_lowercase();
    matches!(first.as_str(), "begin" | "start")
}
