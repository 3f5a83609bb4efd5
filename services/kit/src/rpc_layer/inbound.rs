//! What a caller sends, as it arrives: counted against the memory that callers may hold, and against the clock.
//!
//! A message that has begun has to be whole within a time, and so has the first message of a call. Between the messages
//! of a stream a caller may pause for as long as it likes.

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

/// What a call takes beside its body: its headers, tasks and tables. Counted, so that calls that only begin are bounded
/// as well.
const CALL_BYTES: usize = 4 << 10;
/// How often who is slow is asked whether it has time left. It may have less than a moment before.
const LOOK: Duration = Duration::from_secs(1);
/// How long a message waits for room before the call is ended, and how often it looks.
const ROOM_PATIENCE: Duration = Duration::from_secs(2);
const ROOM_LOOK: Duration = Duration::from_millis(20);

/// What a call may send.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    /// What it counts against.
    pub(super) share: MemoryShare,
    /// Most bytes of one message.
    pub(super) most: usize,
    /// How long a message may take.
    pub(super) time: Duration,
}

/// Says that the reader of a stream of messages has stopped for a while. In the extensions of each request that is one:
/// what has begun to arrive by then gets its time anew when the reader goes on.
#[derive(Clone, Debug, Default)]
pub struct Pause(Arc<AtomicBool>);

impl Pause {
    /// That of a request; one without effect where it came through no server, as in a test.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_default()
    }

    /// The reader stops until it reads again.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        // Almost never true, and reading alone costs other processors nothing.
        self.0.load(Ordering::Acquire) && self.0.swap(false, Ordering::AcqRel)
    }
}

/// Asked once the first message of a stream is whole: whether the call may go on.
pub(super) type Gate = Box<dyn FnOnce() -> Result<(), Status> + Send>;

/// A request's body.
pub(super) struct InboundBody {
    inner: Body,
    allowance: Allowance,
    framing: Framing,
    /// The bytes of the message under way; those of all while `gathers`.
    held: HeldMemory,
    /// What does not change of that.
    base: usize,
    gathers: bool,
    gate: Option<Gate>,
    pause: Pause,
    /// When the message under way, or the first one, began.
    since: Option<Instant>,
    look: Option<Pin<Box<Sleep>>>,
    room: Option<BoxFuture<'static, bool>>,
    ended: bool,
}

impl InboundBody {
    /// `metadata` is the size of the request's, in bytes.
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

    /// The same for a stream of messages, of which the first has to pass a gate.
    pub(super) fn gated(mut self, gate: Gate) -> (Self, Pause) {
        let pause = self.pause.clone();
        self.gate = Some(gate);
        (self, pause)
    }

    /// Reads the one message of a call, with its prefix.
    ///
    /// # Errors
    /// The status of a call that sends none, more than one, or too much, or takes too long.
    pub(super) async fn gather(mut self) -> Result<(Bytes, HeldMemory), Status> {
        self.gathers = true;
        let mut message = Bytes::new();
        let mut joined = BytesMut::new();
        while let Some(frame) = self.frame().await {
            // What else there may be, trailers, means nothing in a request.
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
            _ => Ok((if joined.is_empty() { message } else { joined.freeze() }, self.held)),
        }
    }

    /// Takes note of what came.
    fn follow(&mut self, data: &Bytes) -> Result<(), Status> {
        let before = self.framing.whole();
        self.held.add(data.len());
        self.framing.follow(data, self.allowance.most).map_err(|_| oversized(self.allowance.most))?;
        // The time of a call whose message is gathered runs until its end.
        if !self.gathers && (self.framing.whole() > before || self.since.is_none()) {
            self.since = (self.framing.partial() > 0).then(Instant::now);
            self.look = None;
        }
        match self.gate.take_if(|_| self.framing.whole() > 0) {
            Some(gate) => gate(),
            None => Ok(()),
        }
    }

    /// Ready with whether there is room to read on.
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

    /// Ready when what was begun has taken too long.
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
        // What has come is of no use, and what comes is not wanted.
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
            // Whoever asks for more has taken up the messages that were whole.
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
                // tonic takes a call that was broken off for one whose sender has finished; here it is an error that
                // the handler sees. Nobody is left to read this status; it has to be any but CANCELLED.
                this.end(Status::aborted(format!("the caller broke the call off: {}", error.message())))
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
