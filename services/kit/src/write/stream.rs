//! The protocol of `WriteX`.
//!
//! While a commit runs, the next chunks are received, decoded and checked. Those that are waiting at its end share the
//! next commit. A commit runs in a task that does not end with the call: a caller who disconnects may miss the
//! acknowledgement, but a chunk is never half written.

use std::sync::Arc;

use futures::Stream;
use futures::stream::BoxStream;
use orrery_proto::r#type::v1::{RowError, WriteStart};
use orrery_proto::wire::{ReceivedWrite, WriteResponse};
use prost::Message as _;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, Streaming};

use super::chunk::Chunk;
use super::commit::{ChunkWriter, Outcome};
use super::queue::{NextWork, Queue, RefusedChunk, Repeated};
use super::session::Session;
use super::start::writer;
use crate::answer::AnswerLimit;
use crate::budget::MemoryShare;
use crate::context::{Call, Writes};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::metrics::WriteCounters;
use crate::resource::Resource;
use crate::rpc_layer::normalise;

/// One stream of chunks.
struct WriteStream {
    context: Writes,
    writer: Arc<ChunkWriter>,
    session: Option<Session>,
    deadline: Deadline,
    /// The offset up to which all rows are committed.
    committed: i64,
    acknowledged: Arc<WriteCounters>,
}

/// The result of a task beside the stream.
enum Done {
    /// The commit of these chunks.
    Commit(Arc<Vec<Chunk>>, Outcome),
    /// The repeated rows equal the committed ones.
    Same,
}

/// The current task. It is cancelled with the stream, unless it commits.
type Work = AbortOnDropHandle<Result<Done, Error>>;

/// Runs a chunked write.
pub fn write(
    context: Writes,
    resource: &'static Resource,
    inbound: Streaming<ReceivedWrite>,
    call: Call,
) -> BoxStream<'static, Result<WriteResponse, Status>> {
    Box::pin(answers(context, resource, inbound, call))
}

fn answers(
    context: Writes,
    resource: &'static Resource,
    mut inbound: Streaming<ReceivedWrite>,
    call: Call,
) -> impl Stream<Item = Result<WriteResponse, Status>> + Send + 'static {
    async_stream::try_stream! {
        let first = call.next(&mut inbound).await?;
        let Call { deadline, draining, rows, answers, pause, share, .. } = call;
        let Some(ReceivedWrite::Start(start)) = first else {
            Err(Error::invalid("start", "must be the first message"))?;
            return;
        };
        let mut write = WriteStream::begin(context, resource, &start, deadline).await?;
        if !start.write_id.is_empty() {
            yield write.acknowledgement();
        }
        let mut queue = write.queue(share.clone());
        let mut work: Option<Work> = None;
        let mut open = true;
        loop {
            if work.is_none() {
                match queue.next() {
                    Some(NextWork::Commit(chunks)) => work = Some(write.commit(chunks)),
                    Some(NextWork::Compare(repeated)) => work = Some(write.compare(repeated)),
                    Some(NextWork::Refuse(refused)) => {
                        let error = refused.error(&write.writer);
                        yield fitting(write.refused(refused), answers);
                        Err(error)?;
                    }
                    Some(NextWork::End(error)) => Err(error)?,
                    None if !open => return,
                    None if draining.has_begun() => Err(Error::Draining)?,
                    None => {}
                }
            }
            // If memory is short, the chunks of this stream are committed first.
            let may_hold = (work.is_none() && queue.is_empty()) || !share.is_scarce();
            let receiving = open && may_hold && queue.has_room() && !draining.has_begun();
            if !receiving {
                pause.begin();
            }
            let event = tokio::select! {
                biased;
                done = finished(&mut work) => StreamEvent::Done(done),
                message = inbound.message(), if receiving => StreamEvent::Message(message),
                () = draining.begun(), if !draining.has_begun() => StreamEvent::Drain,
                () = deadline.passed() => StreamEvent::Late,
            };
            match event {
                StreamEvent::Done(done) => {
                    work = None;
                    match done.map_err(Error::internal)?? {
                        Done::Same => yield write.acknowledgement(),
                        Done::Commit(chunks, Outcome::Committed(ack)) => {
                            let committed = u64::try_from(ack.committed_offset - write.committed).unwrap_or_default();
                            rows.add(committed);
                            if !write.writer.validate_only {
                                write.acknowledged.acknowledge(chunks.len(), committed);
                            }
                            write.committed = ack.committed_offset;
                            yield fitting(ack, answers);
                        }
                        Done::Commit(chunks, Outcome::Refused(refusals)) => {
                            let chunks = Arc::into_inner(chunks)
                                .ok_or_else(|| Error::internal("chunks are held although their commit has ended"))?;
                            if let Some(refused) = queue.put_back(chunks, refusals) {
                                let error = refused.error(&write.writer);
                                yield fitting(write.refused(refused), answers);
                                Err(error)?;
                            }
                        }
                        Done::Commit(chunks, Outcome::Begun) => {
                            let chunks = Arc::into_inner(chunks)
                                .ok_or_else(|| Error::internal("chunks are held although their commit has ended"))?;
                            write.take_over().await?;
                            queue.go_on_from(write.committed, chunks);
                        }
                    }
                }
                StreamEvent::Message(Ok(Some(message))) => {
                    let in_time = tokio::select! {
                        () = queue.receive(message) => true,
                        () = deadline.passed() => false,
                    };
                    if !in_time {
                        Err(Error::DeadlineExceeded)?;
                    }
                }
                StreamEvent::Message(Ok(None)) => open = false,
                StreamEvent::Message(Err(status)) => {
                    let status = normalise(status);
                    if status.details().is_empty() {
                        // The caller cancelled: chunks that are not committed are dropped.
                        Err(status)?;
                    } else {
                        // The last message was invalid; the messages before it were valid.
                        queue.end(Error::Transport(status));
                    }
                }
                StreamEvent::Drain => {}
                StreamEvent::Late => Err(Error::DeadlineExceeded)?,
            }
        }
    }
}

/// An answer with as many row errors as the caller accepts. All are counted.
fn fitting(mut answer: WriteResponse, answers: AnswerLimit) -> WriteResponse {
    if !answer.row_errors.is_empty() {
        let errors = std::mem::take(&mut answer.row_errors);
        let mut bytes = answer.encoded_len();
        let fits = |error: &RowError| {
            bytes += prost::encoding::message::encoded_len(6, error);
            bytes <= answers.bytes()
        };
        answer.row_errors = errors.into_iter().take_while(fits).collect();
    }
    answer
}

/// An event of a stream.
enum StreamEvent {
    /// The current task has ended.
    Done(Result<Result<Done, Error>, JoinError>),
    /// The caller sent a message, ended the stream, or cancelled.
    Message(Result<Option<ReceivedWrite>, Status>),
    /// The process drains.
    Drain,
    /// The deadline passed.
    Late,
}

async fn finished(work: &mut Option<Work>) -> Result<Result<Done, Error>, JoinError> {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

impl WriteStream {
    async fn begin(
        context: Writes,
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
        let acknowledged = context.metrics.writes.of(resource.description.message);
        Ok(Self { context, writer, session, deadline, committed, acknowledged })
    }

    /// Continues after the rows that an older stream of the same write has committed since this one began.
    async fn take_over(&mut self) -> Result<(), Error> {
        if let Some(session) = &self.session {
            self.committed = session.take_over(&self.context, self.deadline).await?;
        }
        Ok(())
    }

    fn queue(&self, share: MemoryShare) -> Queue {
        Queue::new(&self.context, Arc::clone(&self.writer), share, self.session.is_some(), self.committed)
    }

    fn commit(&self, chunks: Vec<Chunk>) -> Work {
        let chunks = Arc::new(chunks);
        let (writer, context, session) = (Arc::clone(&self.writer), self.context.clone(), self.session.clone());
        let deadline = self.deadline;
        AbortOnDropHandle::new(tokio::spawn(async move {
            let outcome = writer.commit(&context, session.as_ref(), &chunks, deadline).await?;
            Ok(Done::Commit(chunks, outcome))
        }))
    }

    fn compare(&self, Repeated { offset, hashes }: Repeated) -> Work {
        let (context, session, deadline) = (self.context.clone(), self.session.clone(), self.deadline);
        AbortOnDropHandle::new(tokio::spawn(async move {
            if let Some(session) = session {
                session.verify(&context, offset, &hashes, deadline).await?;
            }
            Ok(Done::Same)
        }))
    }

    /// An acknowledgement of rows that were committed before.
    fn acknowledgement(&self) -> WriteResponse {
        WriteResponse { committed_offset: self.committed, ..WriteResponse::default() }
    }

    /// The last message of a stream that a refused row ends.
    fn refused(&self, refused: RefusedChunk) -> WriteResponse {
        WriteResponse {
            rejected: refused.refusals.count() as i64,
            row_errors: refused.refusals.into_errors(),
            ..self.acknowledgement()
        }
    }
}
