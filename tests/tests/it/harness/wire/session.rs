//! What one connection has done so far, and how far that is from the limits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::copy::{CopyIn, CopyOut};
use super::frames::Piece;
use super::limits::{Limit, Violation, WireLimits};
use super::messages::{completion, string, text};
use super::within::{Within, first_number};

/// What the server has yet to answer.
enum Request {
    /// One or several statements, answered with a ReadyForQuery at the end.
    Query(Statement),
    /// A portal to be run, or to be run on.
    Execute(Arc<Portal>),
    /// Answered with a ReadyForQuery.
    Sync,
}

/// The beginning of a statement's text, and what it says of itself.
#[derive(Clone, Default)]
struct Statement {
    text: Arc<str>,
    within: Within,
}

impl Statement {
    /// A statement, unless it is one that would write rows of which nobody learns.
    fn of(sql: &[u8]) -> Result<Self, Violation> {
        let statement = Self { text: text(sql).into(), within: Within::of(&String::from_utf8_lossy(sql)) };
        match statement.within {
            Within::Nothing | Within::Told => Ok(statement),
            Within::Untold => {
                let statement = statement.text.to_string();
                Err(Violation { limit: Limit::UntoldRows, allowed: 0, seen: 1, statement })
            }
        }
    }
}

/// A statement with its parameters, and how much of its result was read.
struct Portal {
    statement: Statement,
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// A session, seen from the wire.
pub(super) struct Session {
    limits: WireLimits,
    requests: VecDeque<Request>,
    statements: HashMap<Vec<u8>, Statement>,
    portals: HashMap<Vec<u8>, Arc<Portal>>,
    /// What was sent last, for the text of a violation that comes when nothing is awaited.
    last: Arc<str>,
    /// Of the result that arrives.
    rows: u64,
    bytes: u64,
    copy_in: Option<CopyIn>,
    copy_out: Option<CopyOut>,
    /// When the transaction, or the statement outside one, began.
    since: Option<Instant>,
    /// Whether the server said, when it was last ready, that a transaction is open.
    open: bool,
    /// Whether one was opened since, or a statement of several has ended and the next one shares its transaction.
    opened: bool,
}

impl Session {
    pub(super) fn new(limits: WireLimits) -> Self {
        Self {
            limits,
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

    /// Takes note of what the client sends.
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
            // Passwords, the ends of copies, and farewell begin no work.
            b'p' | b'c' | b'f' | b'X' => return Ok(()),
            b'Q' => {
                let statement = Statement::of(string(body).0)?;
                self.last = Arc::clone(&statement.text);
                // The server may keep the answer to this for itself until it has more to say.
                self.opened |= begins_transaction(&self.last);
                self.requests.push_back(Request::Query(statement));
            }
            b'F' => self
                .requests
                .push_back(Request::Query(Statement { text: "a function call".into(), within: Within::Nothing })),
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
                if let Some(portal) = self.portals.get(string(body).0) {
                    self.last = Arc::clone(&portal.statement.text);
                    self.requests.push_back(Request::Execute(Arc::clone(portal)));
                }
            }
            // While a copy goes in the server answers none.
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

    /// Takes note of what the server sends.
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
            // What was sent after it is passed over up to the next Sync.
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

    /// Takes a statement's word for how many rows it wrote within itself.
    fn check_written(&self, row: &[u8]) -> Result<(), Violation> {
        let (within, before) = match self.requests.front() {
            Some(Request::Query(statement)) => (statement.within, 0),
            Some(Request::Execute(portal)) => (portal.statement.within, portal.rows.load(Ordering::Relaxed)),
            Some(Request::Sync) | None => return Ok(()),
        };
        if within != Within::Told || self.rows + before > 0 {
            return Ok(());
        }
        match first_number(row) {
            Some(written) => self.check(Limit::StatementRows, self.limits.statement_rows, written),
            None => Err(self.violation(Limit::UntoldRows, 0, 1)),
        }
    }

    /// A row of a result, or what only counts as bytes of it.
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
            // `create table as` and `select into` say so too, and return nothing.
            "SELECT" => self.rows == 0,
            "COMMIT" => {
                // What comes next in the same message is another transaction.
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

    /// The statement that was being answered has ended.
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

    /// The limit of what runs, by its kind, and when it began.
    fn running(&self) -> Option<(Limit, Duration, Instant)> {
        let since = self.since?;
        Some(if self.open || self.opened {
            (Limit::TransactionAge, self.limits.transaction, since)
        } else {
            (Limit::StatementAge, self.limits.statement, since)
        })
    }

    /// What is too old now; else when to look again. What begins after a look is not too old before the next.
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
