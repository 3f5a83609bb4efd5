//! The protocol of `WriteX`.
//!
//! While one commit is under way the next chunks are received, decoded and checked; those that are waiting when it is
//! done share the next one. A commit runs in a task that the call does not own: a caller who goes away loses the acknowledgement,
//! never half a chunk.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures::Stream;
use orrery_proto::r#type::v1::{ReferenceCheck, RowError, RowErrorPolicy, WriteMode, WriteStart};
use orrery_proto::wire::{WriteChunk, WriteMessage, WriteRequest, WriteResponse};
use tokio::task::JoinHandle;
use tonic::{Status, Streaming};

use super::chunk::Chunk;
use super::commit::{Outcome, Writer};
use super::session::Session;
use super::statement::WriteStatement;
use crate::context::{Call, Context};
use crate::deadline::Deadline;
use crate::error::{Error, Violation};
use crate::resource::Resource;
use crate::resource::mask::update_mask;
use crate::rpc_layer::normalise;

/// Most row errors in one answer.
const MAX_ROW_ERRORS: usize = 1_000;
/// Most bytes of a write_id or request_id.
pub(crate) const MAX_ID_BYTES: usize = 128;

/// What is waiting to be committed, in order.
enum Waiting {
    Chunk(Chunk),
    /// Something that is committed already.
    Committed(WriteResponse),
    /// A chunk with refused rows while the policy is STOP: the stream ends here.
    Refused(Vec<RowError>),
}

/// One stream of chunks.
struct Write {
    context: Context,
    writer: Arc<Writer>,
    session: Option<Session>,
    deadline: Deadline,
    /// Every row before it is committed.
    committed: i64,
    /// Every row before it was received.
    received: i64,
    waiting: VecDeque<Waiting>,
    waiting_rows: usize,
    waiting_bytes: usize,
    /// Chunks that share a commit are committed one by one after one of them was refused.
    alone: bool,
}

/// The chunks of a commit and what became of them.
type Committed = (Arc<Vec<Chunk>>, Result<Outcome, Error>);
type Commit = JoinHandle<Committed>;

/// Runs a chunked write.
pub fn write(
    context: Context,
    resource: &'static Resource,
    mut inbound: Streaming<WriteRequest>,
    call: Call,
) -> impl Stream<Item = Result<WriteResponse, Status>> + Send + 'static {
    async_stream::try_stream! {
        let first = call.next(&mut inbound).await?;
        let Call { deadline, draining, rows } = call;
        let Some(WriteRequest { message: Some(WriteMessage::Start(start)) }) = first else {
            Err(Error::invalid("start", "must be the first message"))?;
            return;
        };
        let mut write = Write::begin(context, resource, &start, deadline).await?;
        if !start.write_id.is_empty() {
            yield WriteResponse { committed_offset: write.committed, ..WriteResponse::default() };
        }
        let mut commit: Option<Commit> = None;
        let mut open = true;
        loop {
            if commit.is_none() {
                match write.next_commit() {
                    Some(Ready::Commit(chunks)) => commit = Some(write.start_commit(chunks)),
                    Some(Ready::Acknowledge(ack)) => {
                        yield ack;
                        continue;
                    }
                    Some(Ready::Refuse(errors)) => {
                        let refusal = write.refusal(&errors);
                        yield write.refused(errors);
                        Err(refusal)?;
                        return;
                    }
                    None if !open => return,
                    None => {}
                }
            }
            if draining.has_begun() && commit.is_none() {
                Err(Error::Draining)?;
            }
            let receiving = open && write.has_room() && !draining.has_begun();
            let event = tokio::select! {
                biased;
                done = finished(&mut commit) => Event::Done(done),
                message = inbound.message(), if receiving => Event::Message(message),
                () = draining.begun(), if !draining.has_begun() => Event::Drain,
                () = deadline.passed() => Event::Late,
            };
            match event {
                Event::Done(done) => {
                    commit = None;
                    let (chunks, outcome) = done.map_err(Error::internal)?;
                    match outcome? {
                        Outcome::Committed(ack) => {
                            rows.add(u64::try_from(ack.committed_offset - write.committed).unwrap_or_default());
                            write.committed = ack.committed_offset;
                            yield shortened(ack);
                        }
                        Outcome::Refused(errors) => write.put_back(chunks, errors),
                    }
                }
                Event::Message(Ok(Some(request))) => write.receive(request, &mut commit).await?,
                Event::Message(Ok(None)) => open = false,
                // The caller broke off: what was not committed is not wanted.
                Event::Message(Err(status)) => Err(normalise(status))?,
                Event::Drain => {}
                Event::Late => Err(Error::DeadlineExceeded)?,
            }
        }
    }
}

/// What a stream waits for.
enum Event {
    /// The commit under way has ended.
    Done(Result<Committed, tokio::task::JoinError>),
    /// The caller sent something, ended well, or broke off.
    Message(Result<Option<WriteRequest>, Status>),
    /// The process is to end.
    Drain,
    /// The deadline passed.
    Late,
}

async fn finished(commit: &mut Option<Commit>) -> Result<Committed, tokio::task::JoinError> {
    match commit {
        Some(commit) => commit.await,
        None => std::future::pending().await,
    }
}

/// What is to be done next.
enum Ready {
    Commit(Vec<Chunk>),
    Acknowledge(WriteResponse),
    Refuse(Vec<RowError>),
}

impl Write {
    async fn begin(
        context: Context,
        resource: &'static Resource,
        start: &WriteStart,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let writer = Arc::new(writer(&context, resource, start)?);
        let (session, committed) = if start.write_id.is_empty() || start.validate_only {
            (None, 0)
        } else {
            let (session, committed) = Session::open(&context, resource, start, deadline).await?;
            (Some(session), committed)
        };
        Ok(Self {
            context,
            writer,
            session,
            deadline,
            committed,
            received: committed,
            waiting: VecDeque::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
            alone: false,
        })
    }

    fn has_room(&self) -> bool {
        let stream = &self.context.stream;
        let refused = matches!(self.waiting.back(), Some(Waiting::Refused(_)));
        !refused && self.waiting_rows < stream.write_batch_rows && self.waiting_bytes < stream.write_batch_bytes
    }

    /// Takes a message in.
    async fn receive(&mut self, request: WriteRequest, commit: &mut Option<Commit>) -> Result<(), Error> {
        let chunk = match request.message {
            Some(WriteMessage::Chunk(chunk)) => chunk,
            Some(WriteMessage::Start(_)) => return Err(Error::invalid("start", "was sent before")),
            None => return Err(Error::invalid("chunk", "is required")),
        };
        let WriteChunk { offset, rows } = chunk;
        let plural = self.writer.resource.plural;
        let most = self.context.database.limits().max_statement_rows;
        if rows.is_empty() {
            return Err(Error::invalid(format!("chunk.{plural}"), "must hold at least one row"));
        }
        if rows.len() > most {
            let why = format!("holds {} rows; a chunk is committed whole, and at most {most} can be", rows.len());
            return Err(Error::invalid(format!("chunk.{plural}"), why));
        }
        if offset < 0 || offset > i64::MAX - most as i64 {
            return Err(Error::invalid("chunk.offset", "must be the number of rows sent before"));
        }
        if offset > self.received || (offset < self.received && self.session.is_none()) {
            return Err(Error::OffsetGap { expected: self.received });
        }
        let chunk = Chunk::decode(self.writer.resource, offset, &rows);
        if offset == self.received {
            self.push(chunk);
            return Ok(());
        }
        // Rows that came before. Those on their way are committed first, then all are compared with what was.
        let mut acks = self.settle(commit).await?;
        let overlap = usize::try_from(self.received.min(chunk.end_offset()) - offset).unwrap_or_default();
        if let Some(session) = &self.session {
            session.verify(&self.context, offset, &chunk.hashes[..overlap], self.deadline).await?;
        }
        acks.push(WriteResponse { committed_offset: self.committed, ..WriteResponse::default() });
        self.waiting.extend(acks.into_iter().map(Waiting::Committed));
        if overlap < rows.len() {
            self.push(Chunk::decode(self.writer.resource, self.received, &rows[overlap..]));
        }
        Ok(())
    }

    fn push(&mut self, mut chunk: Chunk) {
        self.received = chunk.end_offset();
        if self.writer.policy == RowErrorPolicy::Stop && !chunk.errors.is_empty() {
            self.waiting.push_back(Waiting::Refused(std::mem::take(&mut chunk.errors)));
            return;
        }
        self.waiting_rows += chunk.rows.len();
        self.waiting_bytes += chunk.bytes();
        self.waiting.push_back(Waiting::Chunk(chunk));
    }

    /// Commits everything that was received, and returns the acknowledgements.
    async fn settle(&mut self, commit: &mut Option<Commit>) -> Result<Vec<WriteResponse>, Error> {
        let mut acks = Vec::new();
        loop {
            if commit.is_some() {
                let (chunks, outcome) = finished(commit).await.map_err(Error::internal)?;
                *commit = None;
                match outcome? {
                    Outcome::Committed(ack) => {
                        self.committed = ack.committed_offset;
                        acks.push(shortened(ack));
                    }
                    Outcome::Refused(errors) => self.put_back(chunks, errors),
                }
            }
            match self.next_commit() {
                Some(Ready::Commit(chunks)) => *commit = Some(self.start_commit(chunks)),
                Some(Ready::Acknowledge(ack)) => acks.push(ack),
                Some(Ready::Refuse(errors)) => return Err(self.refusal(&errors)),
                None => return Ok(acks),
            }
        }
    }

    /// The chunks that share the next commit: as many as fit a statement and have no key in common, so that each is
    /// counted as if it had come alone.
    fn next_commit(&mut self) -> Option<Ready> {
        let chunk = match self.waiting.pop_front()? {
            Waiting::Committed(ack) => return Some(Ready::Acknowledge(ack)),
            Waiting::Refused(errors) => return Some(Ready::Refuse(errors)),
            Waiting::Chunk(chunk) => chunk,
        };
        let mut rows = chunk.rows.len();
        let mut chunks = vec![chunk];
        let mut keys: HashSet<Vec<u8>> = HashSet::new();
        while !self.alone
            && let Some(Waiting::Chunk(next)) = self.waiting.front()
            && rows + next.rows.len() <= self.context.stream.write_batch_rows
        {
            if keys.is_empty() {
                keys.extend(chunks.iter().flat_map(|chunk| chunk.rows.iter().map(|row| chunk.key(row).to_vec())));
            }
            if next.rows.iter().any(|row| keys.contains(next.key(row))) {
                break;
            }
            keys.extend(next.rows.iter().map(|row| next.key(row).to_vec()));
            rows += next.rows.len();
            if let Some(Waiting::Chunk(next)) = self.waiting.pop_front() {
                chunks.push(next);
            }
        }
        self.waiting_rows -= rows;
        self.waiting_bytes -= chunks.iter().map(Chunk::bytes).sum::<usize>();
        Some(Ready::Commit(chunks))
    }

    fn start_commit(&self, chunks: Vec<Chunk>) -> Commit {
        let chunks = Arc::new(chunks);
        let (writer, context, session) = (Arc::clone(&self.writer), self.context.clone(), self.session.clone());
        let deadline = self.deadline;
        tokio::spawn(async move {
            let outcome = writer.commit(&context, session.as_ref(), &chunks, deadline).await;
            (chunks, outcome)
        })
    }

    /// What becomes of chunks of which one was refused: alone, it ends the stream; in company, each is tried by itself.
    fn put_back(&mut self, chunks: Arc<Vec<Chunk>>, errors: Vec<RowError>) {
        let chunks = Arc::into_inner(chunks).unwrap_or_default();
        if chunks.len() <= 1 {
            self.waiting.push_front(Waiting::Refused(errors));
            return;
        }
        self.alone = true;
        for chunk in chunks.into_iter().rev() {
            self.waiting_rows += chunk.rows.len();
            self.waiting_bytes += chunk.bytes();
            self.waiting.push_front(Waiting::Chunk(chunk));
        }
    }

    /// The last message of a stream that a refused row ends.
    fn refused(&self, row_errors: Vec<RowError>) -> WriteResponse {
        let rejected = row_errors.len() as i64;
        shortened(WriteResponse { committed_offset: self.committed, rejected, row_errors, ..WriteResponse::default() })
    }

    /// The error of a stream that a refused row ends.
    fn refusal(&self, errors: &[RowError]) -> Error {
        let first = errors.iter().min_by_key(|error| error.offset).cloned().unwrap_or_default();
        let place = usize::try_from(first.offset - self.committed).unwrap_or_default();
        let violation = Violation::new(first.field, first.message)
            .within(&format!("chunk.{}[{place}]", self.writer.resource.plural));
        Error::RowRejected { offset: first.offset, violation }
    }
}

fn shortened(mut ack: WriteResponse) -> WriteResponse {
    ack.row_errors.truncate(MAX_ROW_ERRORS);
    ack
}

fn writer(context: &Context, resource: &'static Resource, start: &WriteStart) -> Result<Writer, Error> {
    let mut violations = Vec::new();
    let mode = WriteMode::try_from(start.mode).unwrap_or_else(|_| {
        violations.push(Violation::new("start.mode", "is no WriteMode"));
        WriteMode::Unspecified
    });
    let policy = RowErrorPolicy::try_from(start.on_row_error).unwrap_or_else(|_| {
        violations.push(Violation::new("start.on_row_error", "is no RowErrorPolicy"));
        RowErrorPolicy::Unspecified
    });
    let references = ReferenceCheck::try_from(start.reference_check).unwrap_or_else(|_| {
        violations.push(Violation::new("start.reference_check", "is no ReferenceCheck"));
        ReferenceCheck::Unspecified
    });
    if let Err(why) = check_id(&start.write_id) {
        violations.push(Violation::new("start.write_id", why));
    }
    let mask = update_mask(resource, start.update_mask.as_ref(), "start.update_mask");
    match mask {
        Ok(mask) if violations.is_empty() => {
            let mode = if mode == WriteMode::Unspecified { WriteMode::Upsert } else { mode };
            Ok(Writer {
                resource,
                mode,
                statement: WriteStatement::new(resource, mode, &mask),
                policy: if policy == RowErrorPolicy::Unspecified { RowErrorPolicy::Stop } else { policy },
                references: if references == ReferenceCheck::Unspecified { ReferenceCheck::Accept } else { references },
                validate_only: start.validate_only,
                statement_rows: context.stream.write_batch_rows,
            })
        }
        Ok(_) => Err(Error::Invalid(violations)),
        Err(violation) => {
            violations.push(violation);
            Err(Error::Invalid(violations))
        }
    }
}

/// Whether a text names a write or a request; an empty one names none.
pub(crate) fn check_id(id: &str) -> Result<(), String> {
    if id.len() > MAX_ID_BYTES || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("must be at most {MAX_ID_BYTES} printable ASCII characters without spaces"));
    }
    Ok(())
}
