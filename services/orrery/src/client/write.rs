//! The client of a chunked write: sends several chunks at a time, and reconnects until all of them are acknowledged.
//!
//! Rows that an earlier run committed under the same write_id are sent again. The service compares them with what it
//! remembers of its last commits, so that another file is noticed. It answers each chunk of such rows with one message.

use std::time::Duration;

use orrery_peers::{Backoff, retry_after};
use orrery_proto::r#type::v1::{ReferenceCheck, RowError, RowErrorPolicy, WriteMode, WriteStart};
use orrery_proto::wire::{WriteChunk, WritePayload, WriteRequest, WriteResponse};
use prost_types::FieldMask;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::window::{MAX_CHUNKS, SentChunk, Window};
use super::{ServiceAddress, backoff, connect, fault};

/// The settings of a write.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    /// The service.
    pub(crate) address: ServiceAddress,
    /// The path of the method.
    pub(crate) method: &'static str,
    /// Identifies the write, so that it can be resumed. Not used with `validate_only`.
    pub(crate) write_id: String,
    /// What becomes of rows that are stored.
    pub(crate) mode: WriteMode,
    /// Whether a rejected row stops the write or is skipped.
    pub(crate) on_row_error: RowErrorPolicy,
    /// Whether references to other rows are checked.
    pub(crate) reference_check: ReferenceCheck,
    /// The fields that may be overwritten in existing rows. A field that is not set in the sent row is kept anyway.
    /// Empty: all fields that are set in the sent row.
    pub(crate) update_mask: Vec<String>,
    /// Checks everything and writes nothing.
    pub(crate) validate_only: bool,
    /// How long to keep trying without progress.
    pub(crate) give_up_after: Duration,
}

/// The result of a write in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteCounts {
    /// Every row before this offset is committed.
    pub(crate) committed: i64,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) unchanged: i64,
    pub(crate) rejected: i64,
    pub(crate) superseded: i64,
    /// Stored rows that were deleted, because the sent rows replace them.
    pub(crate) deleted: i64,
    /// Rows that an earlier run committed under this write_id.
    pub(crate) resumed: i64,
    /// Committed rows of which is not known whether they were created, updated or unchanged: the connection broke
    /// before the acknowledgement arrived. They were checked again afterwards, so none of them is a rejected row.
    pub(crate) unspecified: i64,
}

/// What happens during a write.
#[derive(Debug)]
pub(crate) enum WriteEvent<'a> {
    /// All rows before this offset are committed.
    Committed(i64),
    /// The service rejected the row of this line.
    Rejected(Option<u64>, &'a RowError),
    /// The call failed and will be tried again after this wait.
    Retrying(&'a Status, Duration),
}

/// Why a write ended early. The counts up to that point are valid.
#[derive(Debug)]
pub(crate) enum WriteFault {
    /// The last error of the service.
    Call(Status),
    /// The file has fewer rows than are committed under this write_id: it is another file.
    FileTooShort { committed: i64, rows: i64 },
    /// A different row was committed at this offset under this write_id.
    RowDiffers { offset: i64, line: Option<u64> },
}

/// Writes all chunks from the channel; closing the channel ends the write. The counts are valid after an error, too.
pub(crate) async fn write(
    options: &WriteOptions,
    chunks: mpsc::Receiver<SentChunk>,
    on_event: &mut (dyn FnMut(WriteEvent<'_>) + Send),
) -> (WriteCounts, Result<(), WriteFault>) {
    let mut writer = Writer {
        options,
        chunks,
        ended: false,
        answered: false,
        window: Window::default(),
        unanswered: Vec::new(),
        counts: WriteCounts::default(),
        backoff: backoff(options.give_up_after),
        on_event,
    };
    let result = writer.run().await;
    (writer.counts, result)
}

struct Writer<'a> {
    options: &'a WriteOptions,
    chunks: mpsc::Receiver<SentChunk>,
    /// Whether the channel of chunks was closed.
    ended: bool,
    /// Whether the service answered on any connection so far.
    answered: bool,
    window: Window,
    /// Committed rows whose acknowledgement was lost.
    unanswered: Vec<SentChunk>,
    counts: WriteCounts,
    backoff: Backoff,
    on_event: &'a mut (dyn FnMut(WriteEvent<'_>) + Send),
}

impl Writer<'_> {
    async fn run(&mut self) -> Result<(), WriteFault> {
        loop {
            let status = match self.stream().await {
                Ok(()) => break,
                Err(status) => status,
            };
            if let Some(offset) = fault::offset_in_conflict(&status) {
                return Err(WriteFault::RowDiffers { offset, line: self.window.line(offset) });
            }
            // A validation leaves nothing behind that another stream could resume.
            let one_shot = self.options.validate_only && self.answered;
            let wait = retry_after(&status).filter(|_| !one_shot).and_then(|asked| self.backoff.next_wait(asked));
            let Some(wait) = wait else { return Err(WriteFault::Call(status)) };
            (self.on_event)(WriteEvent::Retrying(&status, wait));
            tokio::time::sleep(wait).await;
        }
        let (committed, rows) = (self.counts.committed, self.window.end());
        if committed > rows { Err(WriteFault::FileTooShort { committed, rows }) } else { Ok(()) }
    }

    /// Runs the write on one connection.
    async fn stream(&mut self) -> Result<(), Status> {
        let mut service = connect(&self.options.address).await?;
        // One more than the window: a chunk may be split where the write resumes.
        let chunks = self.window.len().max(MAX_CHUNKS) + 1;
        let (sender, mut answers) = self.open(&mut service, self.start(self.options.validate_only), chunks).await?;
        if !self.options.validate_only {
            let answer = answers.message().await?.ok_or_else(fault::ended_early)?;
            self.resume_at(answer.committed_offset)?;
            self.recheck_unanswered(&mut service).await?;
        }
        self.answered = true;
        self.backoff.succeeded();

        let mut sender = Some(sender);
        for chunk in self.window.chunks() {
            send(sender.as_ref(), chunk);
        }
        loop {
            if self.ended {
                sender = None;
            }
            tokio::select! {
                answer = answers.message() => match answer? {
                    Some(answer) => self.acknowledge(&answer)?,
                    None if self.ended && self.window.is_empty() => return Ok(()),
                    None => return Err(fault::ended_early()),
                },
                chunk = self.chunks.recv(), if !self.ended && !self.window.is_full() => match chunk {
                    Some(chunk) => {
                        for chunk in self.window.push(chunk, self.counts.committed) {
                            send(sender.as_ref(), chunk);
                        }
                    }
                    None => self.ended = true,
                },
            }
        }
    }

    fn start(&self, validate_only: bool) -> WriteStart {
        let mask = &self.options.update_mask;
        WriteStart {
            write_id: if validate_only { String::new() } else { self.options.write_id.clone() },
            mode: self.options.mode.into(),
            on_row_error: self.options.on_row_error.into(),
            reference_check: self.options.reference_check.into(),
            validate_only,
            update_mask: (!mask.is_empty()).then(|| FieldMask { paths: mask.clone() }),
            keep_unset: !mask.is_empty(),
        }
    }

    async fn open(
        &self,
        service: &mut Grpc<Channel>,
        start: WriteStart,
        chunks: usize,
    ) -> Result<(mpsc::Sender<WriteRequest>, Streaming<WriteResponse>), Status> {
        // There is room for the start message and all chunks in flight, so sending never waits.
        let (sender, receiver) = mpsc::channel(chunks + 1);
        let start = WriteRequest { payload: Some(WritePayload::Start(start)) };
        sender.try_send(start).map_err(|_| fault::ended_early())?;
        service.ready().await.map_err(|error| fault::unreachable(&self.options.address, &error))?;
        let codec = ProstCodec::<WriteRequest, WriteResponse>::default();
        let path = PathAndQuery::from_static(self.options.method);
        let response = service.streaming(Request::new(ReceiverStream::new(receiver)), path, codec).await?;
        Ok((sender, response.into_inner()))
    }

    /// Handles the answer to `start`: the offset at which the write resumes.
    fn resume_at(&mut self, committed: i64) -> Result<(), Status> {
        let known = self.counts.committed;
        if committed < known {
            return Err(Status::data_loss(format!(
                "the service resumes at row {committed}, but had acknowledged {known} rows"
            )));
        }
        if !self.answered {
            self.counts.resumed = committed;
        } else if committed > known.max(self.window.end()) {
            let sent = self.window.end();
            return Err(Status::aborted(format!(
                "the service resumes at row {committed}, but only {sent} were sent: another client writes with the \
                 write id {:?}",
                self.options.write_id
            )));
        } else {
            self.unanswered.extend(self.window.between(known, committed));
        }
        self.window.cut_at(committed);
        self.committed_to(committed);
        Ok(())
    }

    /// Finds out how many rows were rejected whose acknowledgement was lost. Sends them again with `validate_only`:
    /// rows that are rejected now were rejected then.
    async fn recheck_unanswered(&mut self, service: &mut Grpc<Channel>) -> Result<(), Status> {
        if self.unanswered.is_empty() {
            return Ok(());
        }
        let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..self.start(true) };
        let (sender, mut answers) = self.open(service, start, self.unanswered.len()).await?;
        let shift = self.unanswered.first().map_or(0, |chunk| chunk.offset);
        for chunk in &self.unanswered {
            send(Some(&sender), &SentChunk { offset: chunk.offset - shift, ..chunk.clone() });
        }
        drop(sender);
        let (mut checked, mut rejected, mut errors) = (0, 0, Vec::new());
        while let Some(answer) = answers.message().await? {
            checked = answer.committed_offset;
            rejected += answer.rejected;
            errors.extend(answer.row_errors);
        }
        let rows: i64 = self.unanswered.iter().map(|chunk| chunk.rows.len() as i64).sum();
        if checked != rows {
            return Err(fault::ended_early());
        }
        self.counts.rejected += rejected;
        self.counts.unspecified += rows - rejected;
        let lines: Vec<u64> = self.unanswered.drain(..).flat_map(|chunk| chunk.lines).collect();
        for error in &errors {
            let line = usize::try_from(error.offset).ok().and_then(|place| lines.get(place)).copied();
            (self.on_event)(WriteEvent::Rejected(line, error));
        }
        Ok(())
    }

    fn acknowledge(&mut self, answer: &WriteResponse) -> Result<(), Status> {
        let known = self.counts.committed;
        if answer.committed_offset > known.max(self.window.end()) {
            return Err(Status::data_loss(format!(
                "the service acknowledges {} rows, but only {} were sent",
                answer.committed_offset,
                self.window.end()
            )));
        }
        self.counts.created += answer.created;
        self.counts.updated += answer.updated;
        self.counts.unchanged += answer.unchanged;
        self.counts.rejected += answer.rejected;
        self.counts.superseded += answer.superseded;
        self.counts.deleted += answer.deleted;
        for error in &answer.row_errors {
            (self.on_event)(WriteEvent::Rejected(self.window.line(error.offset), error));
        }
        if answer.committed_offset > known {
            self.window.cut_at(answer.committed_offset);
            while self.window.pop_before(answer.committed_offset).is_some() {}
        } else if self.window.pop_before(known).is_some() {
            // This chunk was committed by an earlier run.
            self.backoff.succeeded();
        }
        self.committed_to(answer.committed_offset);
        Ok(())
    }

    fn committed_to(&mut self, offset: i64) {
        if offset > self.counts.committed {
            self.counts.committed = offset;
            self.backoff.succeeded();
            (self.on_event)(WriteEvent::Committed(offset));
        }
    }
}

/// Sends a chunk. The channel always has room. If it is closed, the stream has ended: the chunk stays in the window,
/// and the caller reads the stream's status.
fn send(sender: Option<&mpsc::Sender<WriteRequest>>, chunk: &SentChunk) {
    let chunk = WriteChunk { offset: chunk.offset, rows: chunk.rows.clone() };
    if let Some(sender) = sender {
        let _closed = sender.try_send(WriteRequest { payload: Some(WritePayload::Chunk(chunk)) });
    }
}
