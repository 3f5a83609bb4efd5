//! The SQL of decisions: a suggestion is accepted or rejected, a report is made final.

use orrery_kit::db::Statement;
use orrery_kit::error::Error;
use orrery_kit::write::change::touched;
use serde_json::{Map, Value};

use super::artifact::ARTIFACT;

/// Sets keys of an artifact's status and of its body. All other keys stay; a status or body that is no object becomes
/// one.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn decide(uid: &str, status: Map<String, Value>, body: Map<String, Value>) -> Result<Statement, Error> {
    // The objects are computed in a part of its own, which a sharded database accepts. The row is locked.
    let object =
        |column: &str| format!("(case when jsonb_typeof(t.{column}) = 'object' then t.{column} else '{{}}' end)");
    let mut assignments = vec!["status = decided.status".to_owned(), "body = decided.body".to_owned()];
    assignments.extend(touched(&ARTIFACT));
    let sql = format!(
        "with decided as materialized (
    select t.uid, {} || $2::jsonb as status, {} || $3::jsonb as body
      from records.macrodata_artifact as t
     where t.uid = $1
)
update records.macrodata_artifact as t
   set {}
  from decided
 where t.uid = $1 and decided.uid = t.uid",
        object("status"),
        object("body"),
        assignments.join(",\n       ")
    );
    Statement::new(sql, 1).bind(uid)?.bind(Value::Object(status).to_string())?.bind(Value::Object(body).to_string())
}

/// A combo report that is to be created.
#[derive(Debug)]
pub struct NewReport {
    /// Its uid.
    pub uid: String,
    /// Its catalog.
    pub catalog_uid: Option<String>,
    /// Its identifier.
    pub identifier: String,
    /// Its payload.
    pub body: Map<String, Value>,
}

/// Creates a combo report.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn create_report(report: NewReport) -> Result<Statement, Error> {
    let sql = "insert into records.macrodata_artifact as t (uid, catalog_uid, kind, identifier, body)
values ($1, $2, 'combo_report', $3, $4::jsonb)";
    let NewReport { uid, catalog_uid, identifier, body } = report;
    Statement::new(sql, 1).bind(uid)?.bind(catalog_uid)?.bind(identifier)?.bind(Value::Object(body).to_string())
}
