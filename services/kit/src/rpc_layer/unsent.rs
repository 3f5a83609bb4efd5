//! Answers of one message that their callers have not taken yet. HTTP/2 lets a caller take as long as it likes. Here an
//! answer that is not taken in time is dropped, and its memory is freed.
//!
//! The transport only asks for a frame when it can send one. So the time is checked from outside: a list holds all
//! answers of a connection.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use rustc_hash::FxHashMap;
use tonic::{Code, Status};

use super::call::RpcCall;
use super::normalise::not_taken;
use crate::budget::HeldMemory;

/// How much of a large answer the transport gets at once: it keeps that until it is sent, even if the answer is dropped
/// here.
const PIECE: usize = 64 << 10;

/// The answers of one connection.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    answers: Mutex<FxHashMap<u64, Arc<UnsentAnswer>>>,
    next: AtomicU64,
    /// The number of dropped answers whose calls the transport still has.
    stuck: AtomicUsize,
}

/// An answer that has not been sent.
#[derive(Debug)]
struct UnsentAnswer {
    since: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "almost all of them are unsent, and another box would cost each call")]
enum State {
    Unsent(Content),
    Sent,
    Dropped,
}

#[derive(Debug)]
struct Content {
    message: Bytes,
    trailers: HeaderMap,
    code: Code,
    call: RpcCall,
    _held: HeldMemory,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Unsent {
    /// Puts an answer on the list. `trailers` hold `code`.
    pub(super) fn add(
        self: &Arc<Self>,
        message: Bytes,
        (trailers, code): (HeaderMap, Code),
        call: RpcCall,
        held: HeldMemory,
    ) -> UnsentBody {
        let state = Mutex::new(State::Unsent(Content { message, trailers, code, call, _held: held }));
        let answer = Arc::new(UnsentAnswer { since: Instant::now(), state });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        locked(&self.answers).insert(id, Arc::clone(&answer));
        UnsentBody { list: Arc::clone(self), id, answer }
    }

    /// Drops the answers that were not taken within `time`. Returns how many dropped answers the caller still has not
    /// taken.
    pub(crate) fn drop_older_than(&self, time: Duration) -> usize {
        let late: Vec<Arc<UnsentAnswer>> = {
            let answers = locked(&self.answers);
            answers.values().filter(|answer| answer.since.elapsed() >= time).cloned().collect()
        };
        for answer in late {
            let mut state = locked(&answer.state);
            if let State::Unsent(content) = &mut *state {
                content.call.finish(Code::DeadlineExceeded);
                *state = State::Dropped;
                self.stuck.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.stuck.load(Ordering::Relaxed)
    }
}

/// The body of such an answer. Dropping it removes the answer from the list.
#[derive(Debug)]
pub(crate) struct UnsentBody {
    list: Arc<Unsent>,
    id: u64,
    answer: Arc<UnsentAnswer>,
}

impl Drop for UnsentBody {
    fn drop(&mut self) {
        locked(&self.list.answers).remove(&self.id);
        if let State::Dropped = std::mem::replace(&mut *locked(&self.answer.state), State::Sent) {
            self.list.stuck.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl http_body::Body for UnsentBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut state = locked(&self.answer.state);
        let content = match &mut *state {
            State::Unsent(content) => content,
            State::Sent => return Poll::Ready(None),
            State::Dropped => return Poll::Ready(Some(Err(not_taken()))),
        };
        if content.message.is_empty() {
            content.call.finish(content.code);
            let trailers = std::mem::take(&mut content.trailers);
            *state = State::Sent;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let piece = if content.message.len() <= PIECE {
            std::mem::take(&mut content.message)
        } else {
            // A copy: a slice would keep the whole message in memory.
            Bytes::copy_from_slice(&content.message.split_to(PIECE))
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
