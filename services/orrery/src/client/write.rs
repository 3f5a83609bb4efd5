//! The chunked write: sends chunks, several at a time, until all are acknowledged, whatever happens to the connection meanwhile.
//!
//! Rows that were committed before under the write_id are sent as well: the service compares them with what it
//! remembers of its last commits, so that rows of another file are not passed over unseen. It answers each chunk of
//! such rows by a message of its own.

use std::time::Duration;

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

use super::window::{Chunk, MOST_CHUNKS, Window};
use super::{ServiceAddress, connect, fault};
use crate::client::patience::Patience;

/// How to write.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    /// The service.
    pub(crate) address: ServiceAddress,
    /// The path of the method.
    pub(crate) method: &'static str,
    /// Names the write, so that it can be resumed. Not used if `validate_only`.
    pub(crate) write_id: String,
    /// What a refused row does.
    pub(crate) on_row_error: RowErrorPolicy,
    /// Whether what a row points at must exist.
    pub(crate) reference_check: ReferenceCheck,
    /// The most that is overwritten of a row that exists; what is unset in a row stays all the same. Empty: what is set
    /// in the row.
    pub(crate) update_mask: Vec<String>,
    /// Whether everything is checked and nothing kept.
    pub(crate) validate_only: bool,
    /// How long to go on without progress.
    pub(crate) patience: Duration,
}

/// What became of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Every row before this offset is committed.
    pub(crate) committed: i64,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) unchanged: i64,
    pub(crate) rejected: i64,
    pub(crate) superseded: i64,
    /// Rows that an earlier run had committed under this write_id.
    pub(crate) resumed: i64,
    /// Rows that were committed by a connection that broke before it could say which were created, updated or unchanged. That
    /// they were not rejected was asked for afterwards.
    pub(crate) unspecified: i64,
}

/// What happens on the way.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// Everything before this offset is committed.
    Committed(i64),
    /// The service refused the row of this line.
    Refused(Option<u64>, &'a RowError),
    /// The call failed and will be tried again after a while.
    TryingAgain(&'a Status, Duration),
}

/// Why a write ended early. What was tallied until then holds.
#[derive(Debug)]
pub(crate) enum WriteFault {
    /// The service's last word.
    Call(Status),
    /// The file ends before the offset from which this write_id would go on: it is another file.
    Shorter { committed: i64, rows: i64 },
    /// The row at this offset, of this line, is not the one that was committed there under this write_id.
    Differs { offset: i64, line: Option<u64> },
}

/// Writes all chunks that arrive; the channel's closing is the end. The tally is true also where there is a fault.
pub(crate) async fn write(
    options: &WriteOptions,
    chunks: mpsc::Receiver<Chunk>,
    on_event: &mut (dyn FnMut(Event<'_>) + Send),
) -> (Tally, Result<(), WriteFault>) {
    let mut writer = Writer {
        options,
        chunks,
        ended: false,
        begun: false,
        window: Window::default(),
        unanswered: Vec::new(),
        tally: Tally::default(),
        patience: Patience::new(options.patience),
        on_event,
    };
    let result = writer.run().await;
    (writer.tally, result)
}

struct Writer<'a> {
    options: &'a WriteOptions,
    chunks: mpsc::Receiver<Chunk>,
    /// Whether the last chunk arrived.
    ended: bool,
    /// Whether a stream was answered once.
    begun: bool,
    window: Window,
    /// What was committed and never answered.
    unanswered: Vec<Chunk>,
    tally: Tally,
    patience: Patience,
    on_event: &'a mut (dyn FnMut(Event<'_>) + Send),
}

impl Writer<'_> {
    async fn run(&mut self) -> Result<(), WriteFault> {
        loop {
            let status = match self.stream().await {
                Ok(()) => break,
                Err(status) => status,
            };
            if let Some(offset) = fault::offset_in_conflict(&status) {
                return Err(WriteFault::Differs { offset, line: self.window.line(offset) });
            }
            // Nothing of a one-shot stream is kept, so there is nothing to go on from.
            let one_shot = self.options.validate_only && self.begun;
            let wait = fault::retry_after(&status).filter(|_| !one_shot).and_then(|asked| self.patience.next(asked));
            let Some(wait) = wait else { return Err(WriteFault::Call(status)) };
            (self.on_event)(Event::TryingAgain(&status, wait));
            tokio::time::sleep(wait).await;
        }
        let (committed, rows) = (self.tally.committed, self.window.end());
        if committed > rows { Err(WriteFault::Shorter { committed, rows }) } else { Ok(()) }
    }

    /// One connection's worth.
    async fn stream(&mut self) -> Result<(), Status> {
        let mut service = connect(&self.options.address).await?;
        // One chunk may be cut where the write goes on.
        let chunks = self.window.len().max(MOST_CHUNKS) + 1;
        let (sender, mut answers) = self.open(&mut service, self.start(self.options.validate_only), chunks).await?;
        if !self.options.validate_only {
            let answer = answers.message().await?.ok_or_else(fault::cut_short)?;
            self.go_on_from(answer.committed_offset)?;
            self.ask_what_became_of_unanswered(&mut service).await?;
        }
        self.begun = true;
        self.patience.progressed();

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
                    None => return Err(fault::cut_short()),
                },
                chunk = self.chunks.recv(), if !self.ended && !self.window.is_full() => match chunk {
                    Some(chunk) => {
                        for chunk in self.window.push(chunk, self.tally.committed) {
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
            mode: WriteMode::Upsert.into(),
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
        // Room for start and every chunk that may be in flight: sending never waits.
        let (sender, receiver) = mpsc::channel(chunks + 1);
        let start = WriteRequest { payload: Some(WritePayload::Start(start)) };
        sender.try_send(start).map_err(|_| fault::cut_short())?;
        service.ready().await.map_err(|error| fault::unreachable(&self.options.address, &error))?;
        let codec = ProstCodec::<WriteRequest, WriteResponse>::default();
        let path = PathAndQuery::from_static(self.options.method);
        let response = service.streaming(Request::new(ReceiverStream::new(receiver)), path, codec).await?;
        Ok((sender, response.into_inner()))
    }

    /// Takes the service's answer to `start`.
    fn go_on_from(&mut self, committed: i64) -> Result<(), Status> {
        let known = self.tally.committed;
        if committed < known {
            return Err(Status::data_loss(format!(
                "the service goes on from row {committed}, but had acknowledged {known} rows"
            )));
        }
        if !self.begun {
            self.tally.resumed = committed;
        } else if committed > known.max(self.window.end()) {
            let sent = self.window.end();
            return Err(Status::aborted(format!(
                "the service goes on from row {committed}, but only {sent} were sent: something else writes under {:?}",
                self.options.write_id
            )));
        } else {
            self.unanswered.extend(self.window.between(known, committed));
        }
        self.window.cut_at(committed);
        self.committed_to(committed);
        Ok(())
    }

    /// Rows whose acknowledgement was lost are stored, unless they were refused, and nothing tells which. Checking them once more
    /// without writing does: those that are refused now were refused then.
    async fn ask_what_became_of_unanswered(&mut self, service: &mut Grpc<Channel>) -> Result<(), Status> {
        if self.unanswered.is_empty() {
            return Ok(());
        }
        let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..self.start(true) };
        let (sender, mut answers) = self.open(service, start, self.unanswered.len()).await?;
        let shift = self.unanswered.first().map_or(0, |chunk| chunk.offset);
        for chunk in &self.unanswered {
            send(Some(&sender), &Chunk { offset: chunk.offset - shift, ..chunk.clone() });
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
            return Err(fault::cut_short());
        }
        self.tally.rejected += rejected;
        self.tally.unspecified += rows - rejected;
        let lines: Vec<u64> = self.unanswered.drain(..).flat_map(|chunk| chunk.lines).collect();
        for error in &errors {
            let line = usize::try_from(error.offset).ok().and_then(|place| lines.get(place)).copied();
            (self.on_event)(Event::Refused(line, error));
        }
        Ok(())
    }

    fn acknowledge(&mut self, answer: &WriteResponse) -> Result<(), Status> {
        let known = self.tally.committed;
        if answer.committed_offset > known.max(self.window.end()) {
            return Err(Status::data_loss(format!(
                "the service acknowledges {} rows, but only {} were sent",
                answer.committed_offset,
                self.window.end()
            )));
        }
        self.tally.created += answer.created;
        self.tally.updated += answer.updated;
        self.tally.unchanged += answer.unchanged;
        self.tally.rejected += answer.rejected;
        self.tally.superseded += answer.superseded;
        for error in &answer.row_errors {
            (self.on_event)(Event::Refused(self.window.line(error.offset), error));
        }
        if answer.committed_offset > known {
            self.window.cut_at(answer.committed_offset);
            while self.window.pop_before(answer.committed_offset).is_some() {}
        } else if self.window.pop_before(known).is_some() {
            // A chunk of rows that were committed before: they are what they were.
            self.patience.progressed();
        }
        self.committed_to(answer.committed_offset);
        Ok(())
    }

    fn committed_to(&mut self, offset: i64) {
        if offset > self.tally.committed {
            self.tally.committed = offset;
            self.patience.progressed();
            (self.on_event)(Event::Committed(offset));
        }
    }
}

/// Hands a chunk to the stream. The channel has room for it; where it is closed, so is the stream, and the chunk stays in the window
/// while the stream's status is read.
fn send(sender: Option<&mpsc::Sender<WriteRequest>>, chunk: &Chunk) {
    let chunk = WriteChunk { offset: chunk.offset, rows: chunk.rows.clone() };
    if let Some(sender) = sender {
        let _closed = sender.try_send(WriteRequest { payload: Some(WritePayload::Chunk(chunk)) });
    }
}
