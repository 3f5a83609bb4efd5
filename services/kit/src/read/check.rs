//! `CheckX`: which of some rows do not exist. Other services ask before they refer to rows of this one.

use std::collections::HashSet;

use futures::Stream;
use prost::Message;
use tonic::{Status, Streaming};

use orrery_proto::requests::{KeyValue, Keys};

use super::point::{check_keys, missing};
use crate::context::{Call, Reads};
use crate::resource::Resource;

/// Most keys of one request.
const MAX_CHECKED: usize = 10_000;

/// Answers each request. `answer` makes the message from the number of different keys and the keys without a row, each
/// once and in the order of the request.
pub fn check<Q, A>(
    reads: &Reads,
    resource: &'static Resource,
    call: Call,
    mut requests: Streaming<Q>,
    keys_of: fn(Q) -> Keys,
    answer: fn(i64, Vec<Vec<KeyValue>>) -> A,
) -> impl Stream<Item = Result<A, Status>> + Send + 'static
where
    Q: Send + 'static,
    A: Message + 'static,
{
    let reads = reads.clone();
    async_stream::try_stream! {
        while let Some(request) = call.next(&mut requests).await? {
            let mut keys = check_keys(resource, &keys_of(request), MAX_CHECKED)?;
            let mut seen = HashSet::with_capacity(keys.len());
            keys.retain(|key| seen.insert(key.clone()));
            let missing = missing(&reads, resource, &keys, call.deadline).await?;
            let missing = missing.into_iter().map(|at| resource.key_values(keys[at].tuple())).collect();
            call.rows.add(keys.len() as u64);
            let answer = answer(keys.len() as i64, missing);
            call.answers.check(answer.encoded_len())?;
            yield answer;
        }
    }
}
