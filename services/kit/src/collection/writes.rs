//! The methods that write.

use orrery_proto::requests::Delete;
use orrery_proto::wire::{Encoded, ReceivedCreate, ReceivedUpdate, ReceivedWrite, WriteResponse};
use prost_types::FieldMask;
use tonic::{Request, Response, Status, Streaming};

use super::view::asked_for;
use super::{Collection, Messages, Unary};
use crate::answer::{AnswerLimit, DEDUPLICATED_BYTES, WrittenResource};
use crate::context::Call;
use crate::error::Error;
use crate::read::view::View;
use crate::resource::decode::Precondition;
use crate::resource::mask::MaskPath;
use crate::write::delete::{self, DeleteRequest};
use crate::write::single::{self, CreateRequest, UpdateRequest};
use crate::write::stream;

impl Collection {
    /// `CreateX`: makes one row and returns it.
    pub fn create(&self, request: Request<ReceivedCreate>) -> Unary<'_, Encoded> {
        Box::pin(async move {
            let call = Call::of(&request)?;
            let created = self.create_row(&call, request.into_inner(), call.answers).await?;
            Ok(call.answer_written(created)?)
        })
    }

    /// `CreateX` of a resource whose rules may find an existing row: makes one row, or finds one, and returns it with
    /// the information which of the two it was.
    pub fn create_deduplicated(&self, request: Request<ReceivedCreate>) -> Unary<'_, Encoded> {
        Box::pin(async move {
            let call = Call::of(&request)?;
            let answers = call.answers.without(DEDUPLICATED_BYTES);
            let created = self.create_row(&call, request.into_inner(), answers).await?;
            Ok(call.answer_written(created.deduplicated())?)
        })
    }

    async fn create_row(
        &self,
        call: &Call,
        request: ReceivedCreate,
        answers: AnswerLimit,
    ) -> Result<WrittenResource, Error> {
        let create = CreateRequest {
            message: request.resource,
            field: self.singular,
            request_id: &request.request_id,
            references: self.reference_check(request.reference_check),
            deadline: call.deadline,
            answers,
            returned: self.returned(request.read_mask.as_ref(), request.view)?,
            completion: None,
        };
        single::create(&self.context.writes(call), self.resource, create).await
    }

    /// `UpdateX`: changes one row and returns it.
    pub fn update(&self, request: Request<ReceivedUpdate>) -> Unary<'_, Encoded> {
        Box::pin(async move {
            let call = Call::of(&request)?;
            let request = request.into_inner();
            let update = UpdateRequest {
                message: request.resource,
                field: self.singular,
                mask: request.update_mask.as_ref(),
                allow_missing: request.allow_missing,
                references: self.reference_check(request.reference_check),
                deadline: call.deadline,
                answers: call.answers,
                returned: self.returned(request.read_mask.as_ref(), request.view)?,
            };
            let updated = single::update(&self.context.writes(&call), self.resource, update).await?;
            Ok(call.answer_written(updated)?)
        })
    }

    /// `DeleteX`: deletes one row with its children and dependents.
    pub fn delete(&self, request: Request<impl Into<Delete>>) -> Unary<'_, ()> {
        let call = Call::of(&request);
        self.delete_row(call, request.into_inner().into())
    }

    fn delete_row(&self, call: Result<Call, Error>, request: Delete) -> Unary<'_, ()> {
        Box::pin(async move {
            let call = call?;
            let Delete { key, etag, revision, allow_missing } = request;
            let delete = DeleteRequest {
                key: self.key(&key)?,
                precondition: Precondition { etag, revision },
                allow_missing,
                deadline: call.deadline,
            };
            delete::delete(&self.context.writes(&call), self.resource, delete).await?;
            Ok(Response::new(()))
        })
    }

    /// `WriteX`: writes rows chunk by chunk.
    ///
    /// # Errors
    /// For metadata that breaks a rule. What comes later ends the stream.
    pub fn write(
        &self,
        request: Request<Streaming<ReceivedWrite>>,
    ) -> Result<Response<Messages<WriteResponse>>, Status> {
        let call = Call::of(&request)?;
        let writes = self.context.writes(&call);
        Ok(Response::new(stream::write(writes, self.resource, request.into_inner(), call)))
    }

    /// How a request treats missing targets. Requests of a resource without references have no such field; its number
    /// may mean something else one day, so it is ignored here.
    fn reference_check(&self, sent: i32) -> i32 {
        if self.points_at_others { sent } else { 0 }
    }

    /// The fields of a row in the answer to a change. Requests of a resource without views have no `view`; the number
    /// of that field is ignored.
    fn returned(&self, read_mask: Option<&FieldMask>, view: i32) -> Result<Vec<MaskPath>, Error> {
        let has_views = self.resource.child_tables.iter().any(|child_table| !child_table.single);
        asked_for(self.resource, read_mask, if has_views { view } else { 0 }, View::Basic)
    }
}
