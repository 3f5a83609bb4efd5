//! What was received and is not committed yet, in the order in which it came. An error waits in its place as well: everything that came
//! before it is committed and acknowledged first.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use orrery_proto::r#type::v1::RowErrorPolicy;
use orrery_proto::wire::{WriteChunk, WriteMessage, WriteRequest};

use super::chunk::Chunk;
use super::commit::Writer;
use super::refusal::{MAX_ROW_ERRORS, Refusals};
use crate::context::Context;
use crate::error::{Error, Violation};
use crate::resource::part::{MAX_CHILDREN, count};
use crate::resource::tuple::Columns;

/// What waits.
enum Waiting {
    Chunk(Chunk),
    Repeated(Repeated),
    End(Error),
}

/// Rows that came before, to be compared with what was committed.
pub(super) struct Repeated {
    /// The offset of the first.
    pub(super) offset: i64,
    /// A hash of each one's content.
    pub(super) hashes: Vec<u64>,
}

/// A chunk that ends the stream: the policy is STOP and rows of it were refused.
pub(super) struct Refused {
    /// Which, and why.
    pub(super) refusals: Refusals,
    message_offset: i64,
}

/// What is to be done next.
pub(super) enum Next {
    /// These chunks are to be committed together.
    Commit(Vec<Chunk>),
    /// These rows are to be compared.
    Compare(Repeated),
    /// The stream ends with refused rows.
    Refuse(Refused),
    /// The stream ends with an error.
    End(Error),
}

/// The queue of one stream.
pub(super) struct Queue {
    writer: Arc<Writer>,
    /// Whether rows that came before may come again.
    resumable: bool,
    /// Most rows that share a commit, and that wait.
    max_rows: usize,
    /// Most bytes that wait; one message more than that.
    max_bytes: usize,
    max_chunk_rows: usize,
    /// Every row before it was received.
    received: i64,
    waiting: VecDeque<Waiting>,
    rows: usize,
    bytes: usize,
    /// Chunks that share a commit are committed one by one after one of them was refused.
    alone: bool,
    /// Nothing that comes now is wanted: the stream ends with something that waits.
    closed: bool,
}

impl Queue {
    /// An empty queue of a stream that goes on from `received`.
    pub(super) fn new(context: &Context, writer: Arc<Writer>, resumable: bool, received: i64) -> Self {
        Self {
            writer,
            resumable,
            max_rows: context.stream.write_batch_rows,
            max_bytes: context.stream.write_batch_bytes,
            max_chunk_rows: context.database.limits().max_statement_rows,
            received,
            waiting: VecDeque::new(),
            rows: 0,
            bytes: 0,
            alone: false,
            closed: false,
        }
    }

    /// Whether another message may be received.
    pub(super) fn has_room(&self) -> bool {
        !self.closed && self.rows < self.max_rows && self.bytes < self.max_bytes
    }

    /// Takes a message in.
    pub(super) fn receive(&mut self, request: WriteRequest) {
        if let Err(error) = self.try_receive(request) {
            self.end(error);
        }
    }

    /// The stream ends with this error, after everything that was received before it.
    pub(super) fn end(&mut self, error: Error) {
        self.closed = true;
        self.waiting.push_back(Waiting::End(error));
    }

    fn try_receive(&mut self, request: WriteRequest) -> Result<(), Error> {
        let chunk = match request.message {
            Some(WriteMessage::Chunk(chunk)) => chunk,
            Some(WriteMessage::Start(_)) => return Err(Error::invalid("start", "was sent before")),
            None => return Err(Error::invalid("chunk", "is required")),
        };
        let WriteChunk { offset, rows } = chunk;
        let plural = self.writer.resource.plural;
        let most = self.max_chunk_rows;
        if rows.is_empty() {
            return Err(Error::invalid(format!("chunk.{plural}"), "must hold at least one row"));
        }
        if offset < 0 || offset > i64::MAX - rows.len().max(most) as i64 {
            return Err(Error::invalid("chunk.offset", "must be the number of rows sent before"));
        }
        // What came before is not judged again: it has happened.
        let known = if self.resumable { usize::try_from(self.received.saturating_sub(offset)).unwrap_or(0) } else { 0 };
        let (repeated, new) = rows.split_at(known.min(rows.len()));
        if new.len() > most {
            let why = format!("holds {} rows; a chunk is committed whole, and at most {most} can be", new.len());
            return Err(Error::invalid(format!("chunk.{plural}"), why));
        }
        let resource = self.writer.resource;
        let children = if resource.parts.is_empty() { 0 } else { new.iter().map(|row| count(resource, row)).sum() };
        if children > MAX_CHILDREN {
            let why = format!("hold {children} rows of parts together; a chunk may hold at most {MAX_CHILDREN}");
            return Err(Error::invalid(format!("chunk.{plural}"), why));
        }
        if offset > self.received || (offset < self.received && !self.resumable) {
            return Err(Error::OffsetGap { expected: self.received });
        }
        if !repeated.is_empty() {
            let hashes = Chunk::decode(self.writer.resource, self.writer.update.as_ref(), offset, repeated).hashes;
            self.rows += hashes.len();
            self.bytes += hashes.len() * size_of::<u64>();
            self.waiting.push_back(Waiting::Repeated(Repeated { offset, hashes }));
        }
        if !new.is_empty() {
            let mut chunk = Chunk::decode(self.writer.resource, self.writer.update.as_ref(), self.received, new);
            chunk.message_offset = offset;
            self.received = chunk.end_offset();
            self.closed = self.refuses(&chunk);
            self.rows += chunk.sent_rows();
            self.bytes += chunk.bytes();
            self.waiting.push_back(Waiting::Chunk(chunk));
        }
        Ok(())
    }

    fn refuses(&self, chunk: &Chunk) -> bool {
        self.writer.policy == RowErrorPolicy::Stop && !chunk.refusals.is_empty()
    }

    /// Takes out what is to be done next. Chunks that wait share a commit: as many as fit a statement and have no key in common,
    /// so that each is counted as if it had come alone.
    pub(super) fn next(&mut self) -> Option<Next> {
        let chunk = match self.waiting.pop_front()? {
            Waiting::End(error) => return Some(Next::End(error)),
            Waiting::Repeated(repeated) => {
                self.rows -= repeated.hashes.len();
                self.bytes -= repeated.hashes.len() * size_of::<u64>();
                return Some(Next::Compare(repeated));
            }
            Waiting::Chunk(chunk) => self.taken(chunk),
        };
        if self.refuses(&chunk) {
            return Some(Next::Refuse(Refused { refusals: chunk.refusals, message_offset: chunk.message_offset }));
        }
        let mut rows = chunk.sent_rows();
        // Together they fit one answer.
        let mut refused = chunk.refusals.count();
        let mut keys = Keys::of(&chunk);
        let mut chunks = vec![chunk];
        while !self.alone
            && let Some(Waiting::Chunk(next)) = self.waiting.front()
            && rows + next.sent_rows() <= self.max_rows
            && !self.refuses(next)
            && refused + next.refusals.count() <= MAX_ROW_ERRORS
            && keys.add(&chunks, next)
        {
            rows += next.sent_rows();
            refused += next.refusals.count();
            if let Some(Waiting::Chunk(next)) = self.waiting.pop_front() {
                chunks.push(self.taken(next));
            }
        }
        Some(Next::Commit(chunks))
    }

    fn taken(&mut self, chunk: Chunk) -> Chunk {
        self.rows -= chunk.sent_rows();
        self.bytes -= chunk.bytes();
        chunk
    }

    /// What becomes of chunks of which the database refused a row: alone, the chunk ends the stream; in company, each is tried
    /// by itself.
    pub(super) fn put_back(&mut self, mut chunks: Vec<Chunk>, refusals: Refusals) -> Option<Refused> {
        if chunks.len() <= 1 {
            let message_offset = chunks.pop().map_or(0, |chunk| chunk.message_offset);
            return Some(Refused { refusals, message_offset });
        }
        self.alone = true;
        for chunk in chunks.into_iter().rev() {
            self.rows += chunk.sent_rows();
            self.bytes += chunk.bytes();
            self.waiting.push_front(Waiting::Chunk(chunk));
        }
        None
    }
}

/// The keys of the chunks that are to share a commit: as long as each chunk's keys lie beyond those before, which is how most come,
/// only the last one, else all of them.
enum Keys {
    Ascending(Option<Vec<u8>>),
    All(HashSet<Vec<u8>>),
}

impl Keys {
    fn of(chunk: &Chunk) -> Self {
        Self::Ascending(chunk.rows.last().map(|row| chunk.key(row).to_vec()))
    }

    /// Adds a chunk's keys, unless one of them is there.
    fn add(&mut self, before: &[Chunk], next: &Chunk) -> bool {
        let own = || next.rows.iter().map(|row| next.key(row).to_vec());
        if let Self::Ascending(last) = self {
            let beyond = match (last.as_deref(), next.rows.first()) {
                (Some(last), Some(first)) => Columns::new(last).lt(next.order_key(first)),
                _ => true,
            };
            if beyond {
                if let Some(row) = next.rows.last() {
                    *last = Some(next.key(row).to_vec());
                }
                return true;
            }
            let all = before.iter().flat_map(|chunk| chunk.rows.iter().map(|row| chunk.key(row).to_vec()));
            *self = Self::All(all.collect());
        }
        match self {
            Self::All(keys) if own().all(|key| !keys.contains(&key)) => {
                keys.extend(own());
                true
            }
            _ => false,
        }
    }
}

impl Refused {
    /// The error of the stream that ends here.
    pub(super) fn error(&self, writer: &Writer) -> Error {
        let first = self.refusals.first().cloned().unwrap_or_default();
        let place = first.offset - self.message_offset;
        let violation =
            Violation::new(first.field, first.message).within(&format!("chunk.{}[{place}]", writer.resource.plural));
        Error::RowRejected { offset: first.offset, violation }
    }
}
