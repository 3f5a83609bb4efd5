//! The body of a request as it arrives. Its bytes count against the memory that callers may hold, and there is a time
//! limit.
//!
//! A message must be complete within a time after its first byte, and the first message of a call within the same time
//! after the call began. Between the messages of a stream a caller may pause for as long as it likes.

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;

use super::framing::Framing;
use super::normalise::{no_message, no_room, oversized, second_message, too_slow};
use crate::budget::{HeldMemory, MemoryShare};

/// What a call takes in memory beside its body: headers, tasks and tables. It is counted, so that calls without a
/// message are bounded as well.
const CALL_BYTES: usize = 4 << 10;
/// How often the time limit of a slow caller is checked. It may have become shorter meanwhile.
const LOOK: Duration = Duration::from_secs(1);
/// How long a message waits for memory before the call ends, and how often it looks.
const ROOM_PATIENCE: Duration = Duration::from_secs(2);
const ROOM_LOOK: Duration = Duration::from_millis(20);

/// The limits on what a call sends.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    /// The share of memory that it counts against.
    pub(super) share: MemoryShare,
    /// Most bytes of one message.
    pub(super) most: usize,
    /// How long a message may take.
    pub(super) time: Duration,
}

/// Tells that the reader of a stream of messages has paused. In the extensions of each request that is a stream. The
/// time of a message that has begun to arrive starts again when the reader goes on.
#[derive(Clone, Debug, Default)]
pub struct Pause(Arc<AtomicBool>);

impl Pause {
    /// The pause of a request. Where the request did not come through a server, as in a test, it has no effect.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    /// The reader pauses until it reads again.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        // Almost never true. A read alone costs other processors nothing.
        self.0.load(Ordering::Acquire) && self.0.swap(false, Ordering::AcqRel)
    }
}

/// Called when the first message of a stream is complete: may the call go on?
pub(super) type Gate = Box<dyn FnOnce() -> Result<(), Status> + Send>;

/// A request's body.
pub(super) struct InboundBody {
    inner: Body,
    allowance: Allowance,
    framing: Framing,
    /// Counts the bytes of the message that arrives; all bytes if `gathers`.
    held: HeldMemory,
    /// The part of the count that does not change.
    base: usize,
    gathers: bool,
    gate: Option<Gate>,
    pause: Pause,
    /// When the message that arrives, or the call, began.
    since: Option<Instant>,
    look: Option<Pin<Box<Sleep>>>,
    room: Option<BoxFuture<'static, bool>>,
    ended: bool,
}

impl InboundBody {
    /// `metadata` is the size of the request's metadata, in bytes.
    pub(super) fn new(inner: Body, allowance: Allowance, metadata: usize) -> Self {
        let base = CALL_BYTES + metadata;
        Self {
            held: allowance.share.hold(base),
            inner,
            allowance,
            framing: Framing::default(),
            base,
            gathers: false,
            gate: None,
            pause: Pause::default(),
            since: Some(Instant::now()),
            look: None,
            room: None,
            ended: false,
        }
    }

    /// For a stream of messages: the first one has to pass `gate`.
    pub(super) fn gated(mut self, gate: Gate) -> (Self, Pause) {
        let pause = self.pause.clone();
        self.gate = Some(gate);
        (self, pause)
    }

    /// Reads the one message of a call, with its prefix.
    ///
    /// # Errors
    /// The status of a call that sends no message, more than one, too much, or too slowly.
    pub(super) async fn gather(&mut self) -> Result<Bytes, Status> {
        self.gathers = true;
        let mut message = Bytes::new();
        let mut joined = BytesMut::new();
        while let Some(frame) = self.frame().await {
            // Trailers mean nothing in a request.
            let Ok(data) = frame?.into_data() else { continue };
            if message.is_empty() && joined.is_empty() {
                message = data;
            } else {
                joined.extend_from_slice(&std::mem::take(&mut message));
                joined.extend_from_slice(&data);
            }
            if self.framing.whole() > 1 || (self.framing.whole() == 1 && self.framing.partial() > 0) {
                return Err(second_message());
            }
        }
        match (self.framing.whole(), self.framing.partial()) {
            (0, 0) => Err(no_message()),
            (0, _) => Err(super::normalise::cut_short()),
            _ => Ok(if joined.is_empty() { message } else { joined.freeze() }),
        }
    }

    /// Counts the gathered message. What is made of it may be added.
    pub(super) fn held(&mut self) -> &mut HeldMemory {
        &mut self.held
    }

    /// Follows the bytes that have arrived.
    fn follow(&mut self, data: &Bytes) -> Result<(), Status> {
        let before = self.framing.whole();
        self.held.add(data.len());
        self.framing.follow(data, self.allowance.most).map_err(|_| oversized(self.allowance.most))?;
        // A gathered message has one time limit from the begin of the call to its end.
        if !self.gathers && (self.framing.whole() > before || self.since.is_none()) {
            self.since = (self.framing.partial() > 0).then(Instant::now);
            self.look = None;
        }
        match self.gate.take_if(|_| self.framing.whole() > 0) {
            Some(gate) => gate(),
            None => Ok(()),
        }
    }

    /// Ready with whether there is memory to read on.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let share = &self.allowance.share;
        if share.has_room() {
            self.room = None;
            return Poll::Ready(true);
        }
        let room = self.room.get_or_insert_with(|| Box::pin(until_room(share.clone())));
        let found = ready!(room.as_mut().poll(context));
        self.room = None;
        Poll::Ready(found)
    }

    /// Ready when the message has taken too long.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Duration> {
        let Some(since) = self.since else { return Poll::Pending };
        loop {
            let time = self.allowance.share.transfer_timeout(self.allowance.time);
            let left = time.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Poll::Ready(time);
            }
            ready!(self.look.get_or_insert_with(|| Box::pin(sleep(left.min(LOOK)))).as_mut().poll(context));
            self.look = None;
        }
    }

    fn end(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.ended = true;
        // Nothing more is read, and what has arrived is not used.
        self.inner = Body::empty();
        self.held.set(0);
        Poll::Ready(Some(Err(status)))
    }
}

async fn until_room(share: MemoryShare) -> bool {
    let since = Instant::now();
    while !share.has_room() {
        if since.elapsed() >= ROOM_PATIENCE {
            return false;
        }
        sleep(ROOM_LOOK).await;
    }
    true
}

impl http_body::Body for InboundBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if this.pause.is_over() && this.since.is_some() {
            this.since = Some(Instant::now());
        }
        if !this.gathers {
            // The reader asks for more: it has processed the complete messages.
            this.held.set(this.base + this.framing.partial());
        }
        if !ready!(this.poll_room(context)) {
            this.allowance.share.budget().refuse();
            return this.end(no_room());
        }
        match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => match frame.data_ref().map(|data| this.follow(data)) {
                Some(Err(status)) => this.end(status),
                _ => Poll::Ready(Some(Ok(frame))),
            },
            Poll::Ready(Some(Err(error))) => {
                // tonic treats a cancelled call like a finished one. Here it is an error that the handler sees. Nobody
                // reads this status; it must not be CANCELLED.
                this.end(Status::aborted(format!("the caller cancelled the call: {}", error.message())))
            }
            Poll::Ready(None) => {
                this.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending => {
                let time = ready!(this.poll_late(context));
                this.end(too_slow(time))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || (self.gate.is_none() && self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
