//! A stored artifact as the methods see it that only some kinds have.

use orrery_kit::error::Error;
use orrery_kit::resource::batch::StoredRow;
use orrery_kit::resource::row::{Phase, Row, Text, Texts, Timestamp};

use super::artifact::{ARTIFACT, COMBO_REPORT, COMBO_SUGGESTION, DOCUMENT};
use crate::lifecycle::FINAL;

/// A stored artifact. What another program stored in another form reads as unset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredArtifact {
    /// Its kind; empty if it is not known.
    pub kind: String,
    /// Its phase; empty if it has none.
    pub phase: String,
    /// Its catalog.
    pub catalog_uid: Option<String>,
    /// Its identifier.
    pub identifier: Option<String>,
    /// Of a suggestion: its template.
    pub template_uid: Option<String>,
    /// Of a suggestion: the products that it proposes.
    pub product_uids: Vec<String>,
    /// Of a suggestion: the report that it has become.
    pub report_uid: Option<String>,
    /// Whether it is a combo report that is frozen.
    pub is_frozen: bool,
    /// Of a document: the key of its content.
    pub bearer_key: Option<String>,
}

impl StoredArtifact {
    /// Reads a stored row.
    ///
    /// # Errors
    /// [`Error::Internal`] if the description lacks a column: a mistake in the program.
    pub fn of(stored: &StoredRow) -> Result<Self, Error> {
        Self::read(stored.row()).map_err(Error::internal)
    }

    fn read(row: Row<'_>) -> Result<Self, String> {
        let text = |name| Ok::<_, String>(row.get(ARTIFACT.column::<Text>(name)?).map(str::to_owned));
        let of_suggestion =
            |name| Ok::<_, String>(row.inner(ARTIFACT.payload_column::<Text>("body", COMBO_SUGGESTION, name)?));
        let products = ARTIFACT.payload_column::<Texts>("body", COMBO_SUGGESTION, "product_uids")?;
        let final_ts = ARTIFACT.payload_column::<Timestamp>("body", COMBO_REPORT, "final_ts")?;
        let kind = text("kind")?.unwrap_or_default();
        let phase = row.get(ARTIFACT.column::<Phase>("status")?).unwrap_or_default();
        Ok(Self {
            is_frozen: kind == COMBO_REPORT && (phase == FINAL || row.inner(final_ts).is_some()),
            phase,
            catalog_uid: text("catalog_uid")?,
            identifier: text("identifier")?,
            template_uid: of_suggestion("template_uid")?,
            product_uids: row.inner(products).unwrap_or_default(),
            report_uid: of_suggestion("report_uid")?,
            bearer_key: row.inner(ARTIFACT.payload_column::<Text>("body", DOCUMENT, "bearer_key")?),
            kind,
        })
    }

    /// Checks that it is of this kind.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `uid`.
    pub fn require(&self, kind: &str) -> Result<(), Error> {
        if self.kind == kind {
            return Ok(());
        }
        let own = if self.kind.is_empty() { "an artifact without a kind" } else { &self.kind };
        Err(Error::invalid("uid", format!("names {own}, not a {kind}")))
    }

    /// The error of a move to another phase.
    pub fn forbids(&self, uid: &str, to: &str) -> Error {
        let (resource, name) = (ARTIFACT.description.message, uid.to_owned());
        Error::PhaseForbids { resource, name, from: self.phase.clone(), to: to.to_owned() }
    }
}
