//! Rows that a method of a slice makes itself, such as those of an imported file. They are written as a chunked write
//! writes them: the same checks, rules and references, each batch in one transaction.

use std::sync::Arc;

use orrery_proto::r#type::v1::{RowErrorPolicy, WriteStart};
use orrery_proto::wire::WriteResponse;

use super::chunk::Chunk;
use super::commit::{ChunkWriter, Outcome};
use super::start::writer;
use crate::context::{Call, Writes};
use crate::error::Error;
use crate::resource::Resource;
use crate::work;

/// Writes batches of rows of one resource.
#[derive(Debug)]
pub struct RowWriter {
    context: Writes,
    writer: Arc<ChunkWriter>,
}

impl RowWriter {
    /// A writer with the settings of a chunked write. There is no ledger: its write_id is ignored. A refused row does
    /// not keep the other rows of its batch from being written, whatever `on_row_error` says.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every field that breaks a rule, below `start`.
    pub fn new(context: &Writes, resource: &'static Resource, start: WriteStart) -> Result<Self, Error> {
        let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..start };
        Ok(Self { context: context.clone(), writer: Arc::new(writer(context, resource, &start)?) })
    }

    /// Writes encoded rows in one transaction. The offsets of row errors are the places of their rows, from 0. Of rows
    /// with the same key the last one is written.
    ///
    /// # Errors
    /// The errors of the database and of the services that references lead to; nothing was written then, unless the
    /// connection broke at the commit. [`Error::RowRejected`] if the database itself refuses more rows than can be told
    /// apart; nothing was written.
    pub async fn write(&self, call: &Call, rows: &[Vec<u8>]) -> Result<WriteResponse, Error> {
        let messages: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
        let bytes = rows.iter().map(Vec::len).sum();
        let decode = || Chunk::decode(self.writer.resource, self.writer.form(), 0, &messages);
        let mut chunk = work::run_in_place(bytes, decode).await;
        chunk.count_against(&call.share);
        match self.writer.commit(&self.context, None, &Arc::new(vec![chunk]), call.deadline).await? {
            Outcome::Committed(written) => Ok(written),
            Outcome::Refused(refusals) => {
                let first = refusals.first().cloned().unwrap_or_default();
                let violation = crate::error::Violation::new(first.field, first.message);
                Err(Error::RowRejected { offset: first.offset, violation })
            }
            Outcome::Begun => Err(Error::internal("a write without a session was taken over")),
        }
    }
}
