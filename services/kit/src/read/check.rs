//! `CheckX`: which of some uids do not exist. Other services ask it before they point at rows of this one.

use std::collections::HashSet;

use futures::Stream;
use prost::Message;
use tonic::{Status, Streaming};

use super::point::{check_uids, missing};
use crate::context::{Call, Reads};
use crate::resource::Resource;

/// Most uids of one request.
const MAX_CHECKED: usize = 10_000;

/// Answers each request with what `answer` makes of how many different uids were looked for and of those that do not exist, without repeats,
/// in the order of the request.
pub fn check<Q, A>(
    reads: &Reads,
    resource: &'static Resource,
    call: Call,
    mut requests: Streaming<Q>,
    uids_of: fn(Q) -> Vec<String>,
    answer: fn(i64, Vec<String>) -> A,
) -> impl Stream<Item = Result<A, Status>> + Send + 'static
where
    Q: Send + 'static,
    A: Message + 'static,
{
    let reads = reads.clone();
    async_stream::try_stream! {
        while let Some(request) = call.next(&mut requests).await? {
            let uids = uids_of(request);
            let mut seen = HashSet::with_capacity(uids.len());
            let mut keys = check_uids(resource, &uids, MAX_CHECKED)?;
            keys.retain(|key| seen.insert(key.clone()));
            let missing = missing(&reads, resource, &keys, call.deadline).await?;
            let missing_uids = missing.into_iter().map(|at| resource.name_of(keys[at].tuple())).collect();
            call.rows.add(keys.len() as u64);
            let answer = answer(keys.len() as i64, missing_uids);
            call.answers.check(answer.encoded_len())?;
            yield answer;
        }
    }
}
