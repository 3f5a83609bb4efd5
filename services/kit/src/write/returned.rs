//! The answer of a write: the row after the write, with as many fields as the caller accepts. A write is not refused
//! because its stored row is large, and it is known before the commit that the answer fits.

use bytes::Bytes;
use futures::future::BoxFuture;
use orrery_proto::wire::Encoded;

use crate::answer::{AnswerLimit, WrittenResource};
use crate::db::Transaction;
use crate::db::retry::retried;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::read::extent::Extent;
use crate::read::point::{Stored, stored};
use crate::resource::Resource;
use crate::resource::key::Key;
use crate::resource::mask::MaskPath;
use crate::resource::select::Selection;

/// Runs a write that ends with [`read_masked`], by [`retried`]. If the database does not return the whole row, runs it
/// again and returns fewer fields.
///
/// # Errors
/// What `work` returned last.
pub async fn returning<F>(deadline: Deadline, mut work: impl FnMut(Extent) -> F) -> Result<WrittenResource, Error>
where
    F: Future<Output = Result<WrittenResource, Error>>,
{
    let mut extent = Extent::Whole;
    loop {
        match (retried(deadline, || work(extent)).await, extent.less()) {
            (Err(Error::RowTooLarge { .. }), Some(less)) => extent = less,
            (outcome, _) => return outcome,
        }
    }
}

/// The fields of a mask of a row that was just written: at most those of `extent`, and as many as fit.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::AnswerTooLarge`] if not even the essential fields fit; [`Error::RowTooLarge`] if the
/// database does not return so much of the row; the errors of the database.
pub fn read_masked<'a>(
    transaction: &'a mut Transaction<'_>,
    resource: &'static Resource,
    mask: &'a [MaskPath],
    key: &'a Key,
    answers: AnswerLimit,
    extent: Extent,
) -> BoxFuture<'a, Result<WrittenResource, Error>> {
    Box::pin(read_as_masked(transaction, resource, mask, key, answers, extent))
}

async fn read_as_masked(
    transaction: &mut Transaction<'_>,
    resource: &'static Resource,
    mask: &[MaskPath],
    key: &Key,
    answers: AnswerLimit,
    mut extent: Extent,
) -> Result<WrittenResource, Error> {
    loop {
        let selection = Selection::new(resource, &extent.of(resource, mask));
        match (stored(transaction, resource, &selection, key, answers.bytes()).await?, extent.less()) {
            (Stored::Row(body), _) => {
                let message = Encoded { body, tail: Bytes::new(), rows: 1 };
                return Ok(WrittenResource { message, omitted: extent.omits(resource, mask), existing: false });
            }
            (Stored::Larger(_), Some(less)) => extent = less,
            (Stored::Larger(bytes), None) => {
                return Err(answers
                    .exceeded(bytes)
                    .for_row(resource.description.message, resource.name_of(key.tuple())));
            }
            (Stored::Nothing, _) => {
                return Err(Error::NotFound {
                    resource: resource.description.message,
                    name: resource.name_of(key.tuple()),
                });
            }
        }
    }
}
