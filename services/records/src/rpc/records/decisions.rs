//! What the methods that decide on an artifact have in common: their parameters, and FinalizeComboReport.

use std::sync::Arc;

use orrery_kit::collection::view::asked_for;
use orrery_kit::context::{Call, Context, Writes};
use orrery_kit::error::Error;
use orrery_kit::read::view::View;
use orrery_kit::resource::decode::Precondition;
use orrery_kit::timestamp;
use orrery_kit::write::change::{ChangeRequest, ChangeStep, change};
use orrery_kit::write::request_id::{LedgerEntry, digest};
use orrery_kit::write::start::check_id;
use orrery_proto::records::v1::FinalizeComboReportRequest;
use orrery_proto::wire::Encoded;
use prost_types::FieldMask;
use serde_json::{Map, Value};
use tonic::{Request, Response};

use crate::lifecycle::{ACTIVE, FINAL, REPORT};
use crate::store::artifact::{ARTIFACT, COMBO_REPORT};
use crate::store::decision::decide;
use crate::store::stored_artifact::StoredArtifact;

/// The parameters of a decision.
pub(super) struct Decision<'a> {
    /// How the method names itself in the ledger.
    pub(super) verb: &'static str,
    pub(super) uid: &'a str,
    pub(super) etag: String,
    pub(super) revision: i32,
    pub(super) request_id: String,
    pub(super) read_mask: Option<FieldMask>,
    /// What else a retry must send again.
    pub(super) more: String,
}

impl Decision<'_> {
    /// The change of the artifact.
    pub(super) fn request(self, call: &Call, writes: &Writes) -> Result<ChangeRequest, Error> {
        let Self { verb, uid, etag, revision, request_id, read_mask, more } = self;
        check_id(&request_id).map_err(|why| Error::invalid("request_id", why))?;
        if etag.contains('\0') {
            return Err(Error::invalid("etag", "must not hold NUL characters"));
        }
        let parameters = [uid, &etag, &revision.to_string(), &more].join("\0");
        Ok(ChangeRequest {
            key: ARTIFACT.key([uid])?,
            precondition: Precondition { etag, revision },
            mask: asked_for(&ARTIFACT, read_mask.as_ref(), 0, View::Full)?,
            deadline: call.deadline,
            answers: call.answers,
            entry: LedgerEntry::of(writes, verb, &ARTIFACT, &request_id, digest(parameters.as_bytes())),
        })
    }
}

pub(super) async fn finalize(
    context: &Context,
    request: Request<FinalizeComboReportRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let FinalizeComboReportRequest { uid, etag, revision, request_id, read_mask } = request.into_inner();
    let decision = Decision { verb: "finalize", uid: &uid, etag, revision, request_id, read_mask, more: String::new() };
    let request = decision.request(&call, &writes)?;
    let uid: Arc<str> = uid.into();
    let step: ChangeStep = Arc::new(move |transaction, row| {
        let uid = Arc::clone(&uid);
        Box::pin(async move {
            let report = StoredArtifact::of(&row)?;
            report.require(COMBO_REPORT)?;
            if report.phase == FINAL {
                return Ok(());
            }
            if report.phase != ACTIVE && REPORT.knows(&report.phase) {
                return Err(report.forbids(&uid, FINAL));
            }
            let status = Map::from_iter([("phase".to_owned(), Value::from(FINAL))]);
            let now = timestamp::to_rfc3339(timestamp::now());
            let body = Map::from_iter([("final_ts".to_owned(), Value::from(now))]);
            transaction.write(decide(&uid, status, body)?).await?;
            Ok(())
        })
    });
    call.answer_written(change(&writes, &ARTIFACT, request, step).await?)
}
