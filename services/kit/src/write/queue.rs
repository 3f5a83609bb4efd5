//! The rows that were received and are not committed yet, in order. An error waits in this queue too: everything before
//! it is committed and acknowledged first.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use orrery_proto::codec::malformed_field;
use orrery_proto::r#type::v1::RowErrorPolicy;
use orrery_proto::wire::ReceivedWrite;

use super::chunk::Chunk;
use super::commit::ChunkWriter;
use super::refusal::{MAX_ROW_ERRORS, Refusals};
use crate::budget::MemoryShare;
use crate::context::Writes;
use crate::error::{Error, Violation};
use crate::resource::bounds::MAX_CHILDREN;
use crate::resource::child_table::count as count_children;
use crate::resource::key::compare;
use crate::resource::{BadChunk, ChunkReader, Resource};
use crate::work;

/// Most rows of a repeated chunk, if no more rows may be new. The limit may have been larger when they were first sent.
/// An empty row takes two bytes of a message and twelve times as many here.
const REPEATED_ROWS: usize = 500_000;

/// An entry of the queue.
enum Waiting {
    Chunk(Chunk),
    Repeated(Repeated),
    End(Error),
}

/// Repeated rows, which are compared with the committed ones.
pub(super) struct Repeated {
    /// The offset of the first row.
    pub(super) offset: i64,
    /// A hash of each row's content.
    pub(super) hashes: Vec<u64>,
}

/// A chunk that ends the stream: the policy is STOP and rows of it were refused.
pub(super) struct RefusedChunk {
    /// The refused rows and the reasons.
    pub(super) refusals: Refusals,
    message_offset: i64,
}

/// The next step of a stream.
pub(super) enum NextWork {
    /// These chunks are to be committed together.
    Commit(Vec<Chunk>),
    /// These rows are to be compared.
    Compare(Repeated),
    /// The stream ends with refused rows.
    Refuse(RefusedChunk),
    /// The stream ends with an error.
    End(Error),
}

/// The queue of one stream.
pub(super) struct Queue {
    writer: Arc<ChunkWriter>,
    /// The memory limit that decoded chunks count against until they are committed.
    share: MemoryShare,
    /// Whether rows may be sent again.
    resumable: bool,
    /// Most rows that share a commit, and most rows that wait.
    max_rows: usize,
    /// Most decoded bytes that wait. One message may exceed the limit.
    max_bytes: usize,
    max_chunk_rows: usize,
    /// The offset up to which all rows were received.
    received: i64,
    waiting: VecDeque<Waiting>,
    rows: usize,
    bytes: usize,
    /// Bytes that were taken out last and are being committed.
    under_way: usize,
    /// After one of them was refused, chunks that shared a commit are committed one by one.
    alone: bool,
    /// No further messages are accepted: an entry in the queue will end the stream.
    closed: bool,
}

impl Queue {
    /// An empty queue for a stream that continues at offset `received`.
    pub(super) fn new(
        context: &Writes,
        writer: Arc<ChunkWriter>,
        share: MemoryShare,
        resumable: bool,
        received: i64,
    ) -> Self {
        Self {
            writer,
            share,
            resumable,
            max_rows: context.stream.write_batch_rows,
            max_bytes: context.stream.write_batch_bytes,
            max_chunk_rows: context.limits().max_statement_rows,
            received,
            waiting: VecDeque::new(),
            rows: 0,
            bytes: 0,
            under_way: 0,
            alone: false,
            closed: false,
        }
    }

    /// Whether another message may be received. A large one that is being committed counts too: no second one is held
    /// beside it.
    pub(super) fn has_room(&self) -> bool {
        let room = self.max_bytes.saturating_mul(2).saturating_sub(self.under_way).min(self.max_bytes);
        !self.closed && self.rows < self.max_rows && self.bytes < room
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a message. A large one is decoded on another thread.
    pub(super) async fn receive(&mut self, message: ReceivedWrite) {
        if let Err(error) = self.try_receive(message).await {
            self.end(error);
        }
    }

    /// Ends the stream with this error, after everything that was received before it.
    pub(super) fn end(&mut self, error: Error) {
        self.closed = true;
        self.waiting.push_back(Waiting::End(error));
    }

    async fn try_receive(&mut self, message: ReceivedWrite) -> Result<(), Error> {
        let message = match message {
            ReceivedWrite::Chunk(chunk) => chunk,
            ReceivedWrite::Start(_) => return Err(Error::invalid("start", "was sent before")),
            ReceivedWrite::Nothing => return Err(Error::invalid("chunk", "is required")),
        };
        let arrival = Arrival {
            message,
            writer: Arc::clone(&self.writer),
            resumable: self.resumable,
            received: self.received,
            max_rows: self.max_chunk_rows,
        };
        let (repeated, new) = work::offload(arrival.message.len(), move || arrival.decode()).await??;
        if let Some(repeated) = repeated {
            self.rows += repeated.hashes.len();
            self.bytes += repeated.hashes.len() * size_of::<u64>();
            self.waiting.push_back(Waiting::Repeated(repeated));
        }
        if let Some(mut chunk) = new {
            chunk.count_against(&self.share);
            self.received = chunk.end_offset();
            self.closed = self.refuses(&chunk);
            self.rows += chunk.sent_rows();
            self.bytes += chunk.decoded_bytes();
            self.waiting.push_back(Waiting::Chunk(chunk));
        }
        Ok(())
    }

    fn refuses(&self, chunk: &Chunk) -> bool {
        self.writer.policy == RowErrorPolicy::Stop && !chunk.refusals.is_empty()
    }

    /// Takes the next step out of the queue. Waiting chunks share a commit: as many as fit into a statement and have no
    /// common key, so that each is counted as if it were alone. If the write replaces rows, they have no common owner
    /// either, so that none deletes what an earlier one writes.
    pub(super) fn next(&mut self) -> Option<NextWork> {
        self.under_way = 0;
        let chunk = match self.waiting.pop_front()? {
            Waiting::End(error) => return Some(NextWork::End(error)),
            Waiting::Repeated(repeated) => {
                self.rows -= repeated.hashes.len();
                self.bytes -= repeated.hashes.len() * size_of::<u64>();
                return Some(NextWork::Compare(repeated));
            }
            Waiting::Chunk(chunk) => self.taken(chunk),
        };
        if self.refuses(&chunk) {
            return Some(NextWork::Refuse(RefusedChunk {
                refusals: chunk.refusals,
                message_offset: chunk.message_offset,
            }));
        }
        let mut rows = chunk.sent_rows();
        // Together they fit into one answer.
        let mut refused = chunk.refusals.count();
        let mut scopes = QueuedScopes::of(self.writer.resource, &chunk);
        let mut chunks = vec![chunk];
        while !self.alone
            && let Some(Waiting::Chunk(next)) = self.waiting.front()
            && rows + next.sent_rows() <= self.max_rows
            && !self.refuses(next)
            && refused + next.refusals.count() <= MAX_ROW_ERRORS
            && scopes.add(self.writer.resource, &chunks, next)
        {
            rows += next.sent_rows();
            refused += next.refusals.count();
            if let Some(Waiting::Chunk(next)) = self.waiting.pop_front() {
                chunks.push(self.taken(next));
            }
        }
        Some(NextWork::Commit(chunks))
    }

    fn taken(&mut self, chunk: Chunk) -> Chunk {
        self.rows -= chunk.sent_rows();
        self.bytes -= chunk.decoded_bytes();
        self.under_way += chunk.decoded_bytes();
        chunk
    }

    /// Puts chunks back whose rows up to `committed` were committed by another stream of the same write. Those rows are
    /// compared instead.
    pub(super) fn go_on_from(&mut self, committed: i64, chunks: Vec<Chunk>) {
        let behind = std::mem::take(&mut self.waiting);
        for waiting in chunks.into_iter().map(Waiting::Chunk).chain(behind) {
            let Waiting::Chunk(mut chunk) = waiting else {
                self.waiting.push_back(waiting);
                continue;
            };
            if chunk.first_offset < committed {
                let (offset, before) = (chunk.first_offset, committed.min(chunk.end_offset()));
                let hashes = chunk.take_before(before);
                self.waiting.push_back(Waiting::Repeated(Repeated { offset, hashes }));
            }
            if !chunk.hashes.is_empty() {
                self.waiting.push_back(Waiting::Chunk(chunk));
            }
        }
        self.received = self.received.max(committed);
        let sizes = self.waiting.iter().map(|waiting| match waiting {
            Waiting::Chunk(chunk) => (chunk.sent_rows(), chunk.decoded_bytes()),
            Waiting::Repeated(Repeated { hashes, .. }) => (hashes.len(), hashes.len() * size_of::<u64>()),
            Waiting::End(_) => (0, 0),
        });
        (self.rows, self.bytes) = sizes.fold((0, 0), |(rows, bytes), (more, size)| (rows + more, bytes + size));
    }

    /// Handles chunks with a row that the database refused: a single chunk ends the stream; several chunks are tried
    /// again one by one.
    pub(super) fn put_back(&mut self, mut chunks: Vec<Chunk>, refusals: Refusals) -> Option<RefusedChunk> {
        if chunks.len() <= 1 {
            let message_offset = chunks.pop().map_or(0, |chunk| chunk.message_offset);
            return Some(RefusedChunk { refusals, message_offset });
        }
        self.alone = true;
        for chunk in chunks.into_iter().rev() {
            self.rows += chunk.sent_rows();
            self.bytes += chunk.decoded_bytes();
            self.waiting.push_front(Waiting::Chunk(chunk));
        }
        None
    }
}

/// A received chunk, and the state of the stream that is needed to check it.
struct Arrival {
    /// The encoded chunk.
    message: Bytes,
    writer: Arc<ChunkWriter>,
    resumable: bool,
    /// Every row before it was received.
    received: i64,
    max_rows: usize,
}

impl Arrival {
    /// The repeated rows, and the new ones.
    fn decode(self) -> Result<(Option<Repeated>, Option<Chunk>), Error> {
        let (resource, form, most) = (self.writer.resource, self.writer.form(), self.max_rows);
        let plural = format!("chunk.{}", resource.plural);
        let chunk = ChunkReader::new(&self.message).map_err(|bad| {
            let field = match bad {
                BadChunk::Chunk => "chunk",
                BadChunk::Offset => "chunk.offset",
                BadChunk::Rows => plural.as_str(),
            };
            Error::Transport(malformed_field(field, "the bytes are not what the field holds"))
        })?;
        let ChunkReader { offset, count, .. } = chunk;
        if count == 0 {
            return Err(Error::invalid(plural, "must hold at least one row"));
        }
        if offset < 0 || offset > i64::MAX - count.max(most) as i64 {
            return Err(Error::invalid("chunk.offset", "must be the number of rows sent before"));
        }
        // Repeated rows are not checked again: they are committed.
        let known = if self.resumable { usize::try_from(self.received.saturating_sub(offset)).unwrap_or(0) } else { 0 };
        let known = known.min(count);
        if count - known > most || known > most.max(REPEATED_ROWS) {
            let rows = known.max(count - known);
            let why = format!("holds {rows} rows; a chunk is committed whole, and at most {most} can be");
            return Err(Error::invalid(plural, why));
        }
        let rows = chunk.rows();
        let (repeated, new) = rows.split_at(known);
        let children = if resource.child_tables.is_empty() {
            0
        } else {
            new.iter().map(|row| count_children(resource, row)).sum()
        };
        if children > MAX_CHILDREN {
            let why = format!("hold {children} children together; a chunk may hold at most {MAX_CHILDREN}");
            return Err(Error::invalid(plural, why));
        }
        if offset > self.received || (offset < self.received && !self.resumable) {
            return Err(Error::OffsetGap { expected: self.received });
        }
        if form.replaces && !repeated.is_empty() {
            // The rows of an owner are those of the whole message, also if some were committed before.
            let mut chunk = Chunk::decode(resource, form, offset, &rows);
            let hashes = chunk.take_before(self.received.min(chunk.end_offset()));
            return Ok((Some(Repeated { offset, hashes }), (!chunk.hashes.is_empty()).then_some(chunk)));
        }
        let repeated = (!repeated.is_empty())
            .then(|| Repeated { offset, hashes: Chunk::decode(resource, form, offset, repeated).hashes });
        let new = (!new.is_empty()).then(|| {
            let mut chunk = Chunk::decode(resource, form, self.received, new);
            chunk.message_offset = offset;
            chunk
        });
        Ok((repeated, new))
    }
}

/// The scopes of the chunks that share a commit: see [`Chunk::scopes`]. While the scopes of each chunk come after all
/// earlier ones, which is common, only the last one is kept; otherwise all.
enum QueuedScopes {
    Ascending(Option<Vec<u8>>),
    All(HashSet<Vec<u8>>),
}

impl QueuedScopes {
    fn of(resource: &Resource, chunk: &Chunk) -> Self {
        Self::Ascending(chunk.scope_bounds(resource).map(|(_, last)| last.to_vec()))
    }

    /// Adds the scopes of a chunk, unless one of them is already there.
    fn add(&mut self, resource: &Resource, before: &[Chunk], next: &Chunk) -> bool {
        if let Self::Ascending(last) = self {
            let bounds = next.scope_bounds(resource);
            let beyond = match (last.as_deref(), bounds) {
                (Some(last), Some((first, _))) => compare(resource, last, first).is_lt(),
                _ => true,
            };
            if beyond {
                if let Some((_, end)) = bounds {
                    *last = Some(end.to_vec());
                }
                return true;
            }
            *self = Self::All(before.iter().flat_map(|chunk| chunk.scopes().map(<[u8]>::to_vec)).collect());
        }
        match self {
            Self::All(scopes) if next.scopes().all(|scope| !scopes.contains(scope)) => {
                scopes.extend(next.scopes().map(<[u8]>::to_vec));
                true
            }
            _ => false,
        }
    }
}

impl RefusedChunk {
    /// The error of the stream that ends here.
    pub(super) fn error(&self, writer: &ChunkWriter) -> Error {
        let first = self.refusals.first().cloned().unwrap_or_default();
        let place = first.offset - self.message_offset;
        let violation =
            Violation::new(first.field, first.message).within(&format!("chunk.{}[{place}]", writer.resource.plural));
        Error::RowRejected { offset: first.offset, violation }
    }
}
