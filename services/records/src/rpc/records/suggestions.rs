//! AcceptSuggestion and RejectSuggestion.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_kit::context::{Call, Context};
use orrery_kit::db::Transaction;
use orrery_kit::error::{Error, Violation};
use orrery_kit::resource::key::Key;
use orrery_kit::write::change::{AnsweringStep, ChangeStep, change, change_answering};
use orrery_kit::write::stored;
use orrery_proto::records::v1::{AcceptSuggestionRequest, RejectSuggestionRequest};
use orrery_proto::wire::Encoded;
use serde_json::{Map, Value, json};
use tonic::{Request, Response};

use super::decisions::Decision;
use crate::lifecycle::{ACCEPTED, PROPOSED, REJECTED, SUGGESTION};
use crate::rules::artifact::combo_name::{ComboName, MAX_NUMBER, identifier};
use crate::store::artifact::{ARTIFACT, COMBO_REPORT, COMBO_SUGGESTION, COMBO_TEMPLATE};
use crate::store::decision::{NewReport, create_report, decide};
use crate::store::series::{self, Series};
use crate::store::stored_artifact::StoredArtifact;
use crate::store::uids::ARTIFACT_UID;

/// Maximum length of a reason in bytes.
const MAX_REASON_BYTES: usize = 1_024;

/// Whether a suggestion can be decided on. One in an unknown phase, which another program stored, can: that repairs it.
fn is_open(suggestion: &StoredArtifact) -> bool {
    suggestion.phase == PROPOSED || !SUGGESTION.knows(&suggestion.phase)
}

pub(super) async fn accept(
    context: &Context,
    request: Request<AcceptSuggestionRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let AcceptSuggestionRequest { uid, etag, revision, request_id, read_mask } = request.into_inner();
    let decision = Decision { verb: "accept", uid: &uid, etag, revision, request_id, read_mask, more: String::new() };
    let request = decision.request(&call, &writes)?;
    let uid: Arc<str> = uid.into();
    let step: AnsweringStep = Arc::new(move |transaction, row| {
        let uid = Arc::clone(&uid);
        Box::pin(async move {
            let suggestion = StoredArtifact::of(&row)?;
            suggestion.require(COMBO_SUGGESTION)?;
            if let Some(report) = &suggestion.report_uid {
                return ARTIFACT.key([report]);
            }
            if !is_open(&suggestion) {
                return Err(suggestion.forbids(&uid, ACCEPTED));
            }
            report_of(transaction, &uid, suggestion).await
        })
    });
    call.answer_written(change_answering(&writes, &ARTIFACT, request, step).await?)
}

/// Creates the report of a suggestion, and names it there.
async fn report_of(
    transaction: &mut Transaction<'_>,
    suggestion_uid: &str,
    suggestion: StoredArtifact,
) -> Result<Key, Error> {
    let missing = |why: String| Error::ReferenceMissing(Violation::new("combo_suggestion.template_uid", why));
    let StoredArtifact { catalog_uid, template_uid, product_uids, .. } = suggestion;
    let template_uid = template_uid.ok_or_else(|| missing("is not set".to_owned()))?;
    let template = stored::lock(transaction, &ARTIFACT, &ARTIFACT.key([&template_uid])?).await?;
    let template = template.as_ref().map(StoredArtifact::of).transpose()?;
    let template = template.ok_or_else(|| missing(format!("{template_uid} does not exist")))?;
    let name = ComboName::parse(template.identifier.as_deref().unwrap_or_default());
    let (name, _) = match name {
        Ok(name) if template.kind == COMBO_TEMPLATE => name,
        _ => return Err(missing(format!("{template_uid} is no combo_template with an identifier"))),
    };
    let series =
        Series { catalog_uid: catalog_uid.clone().unwrap_or_default(), kind: COMBO_REPORT, prefix: name.prefix() };
    let first = series::take(transaction, &BTreeMap::from([(series.clone(), 1)]), true).await?;
    let number = first.get(&series).copied().filter(|number| *number <= MAX_NUMBER);
    let number = number.ok_or_else(|| missing(format!("the numbers after {} are used up", series.prefix)))?;
    let uid = ARTIFACT_UID.new_uid();
    let key = ARTIFACT.key([&uid])?;
    let body = json!({
        "template_uid": template_uid,
        "type": name.combo_type,
        "product_codes": name.product_codes,
        "product_count": name.product_count,
        "audience": name.audience,
        "product_uids": product_uids,
        "suggestion_uid": suggestion_uid,
    });
    let report = NewReport {
        uid: uid.clone(),
        catalog_uid,
        identifier: identifier(&series.prefix, number),
        body: entries(body),
    };
    transaction.write(create_report(report)?).await?;
    let (status, body) = (json!({"phase": ACCEPTED}), json!({"report_uid": uid}));
    transaction.write(decide(suggestion_uid, entries(status), entries(body))?).await?;
    Ok(key)
}

/// The entries of an object.
fn entries(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(entries) => entries,
        _ => Map::new(),
    }
}

pub(super) async fn reject(
    context: &Context,
    request: Request<RejectSuggestionRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let RejectSuggestionRequest { uid, etag, revision, request_id, read_mask, reason } = request.into_inner();
    if reason.len() > MAX_REASON_BYTES || reason.contains('\0') {
        return Err(Error::invalid("reason", format!("must be at most {MAX_REASON_BYTES} bytes, without NUL")));
    }
    let decision = Decision { verb: "reject", uid: &uid, etag, revision, request_id, read_mask, more: reason.clone() };
    let request = decision.request(&call, &writes)?;
    let rejection: Arc<(String, String)> = Arc::new((uid, reason));
    let step: ChangeStep = Arc::new(move |transaction, row| {
        let rejection = Arc::clone(&rejection);
        Box::pin(async move {
            let (uid, reason) = &*rejection;
            let suggestion = StoredArtifact::of(&row)?;
            suggestion.require(COMBO_SUGGESTION)?;
            if suggestion.phase == REJECTED {
                return Ok(());
            }
            if !is_open(&suggestion) {
                return Err(suggestion.forbids(uid, REJECTED));
            }
            let mut status = entries(json!({"phase": REJECTED}));
            if !reason.is_empty() {
                status.insert("reason".to_owned(), Value::from(reason.as_str()));
            }
            transaction.write(decide(uid, status, Map::new())?).await?;
            Ok(())
        })
    });
    call.answer_written(change(&writes, &ARTIFACT, request, step).await?)
}
