//! Artifacts of every kind: their rules, their identifiers, and the methods that only they have.

mod arbitrary_input;
mod assets;
mod catalogs;
mod classes;
mod deletes;
mod filters;
mod foreign_rows;
mod identifiers;
mod kinds;
mod links;
mod references;
mod reports;
mod suggestions;

use std::collections::HashMap;

use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::records_service_client::RecordsServiceClient;
use orrery_proto::records::v1::{
    Artifact, ClassificationSpec, ComboReport, ComboSuggestion, ComboTemplate, CreateArtifactRequest,
    CreateArtifactResponse, DesignAsset, Document, GetArtifactRequest, UpdateArtifactRequest,
};
use orrery_proto::r#type::v1::{RowError, WriteStart};
use tonic::Status;
use tonic::transport::Channel;

use super::Records;
use crate::harness::LARGEST_MESSAGE;
use crate::writes::stream::{Totals, mask, write};

/// The chunked writes of the service.
pub(crate) const ARTIFACTS: &str = "/orrery.records.v1.RecordsService/WriteArtifacts";
pub(crate) const PRODUCT_LINKS: &str = "/orrery.records.v1.RecordsService/WriteProductLinks";

impl Records {
    /// A client of the records service on the shared connection.
    pub(crate) fn artifacts(&self) -> RecordsServiceClient<Channel> {
        RecordsServiceClient::new(self.server.channel())
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE)
    }

    /// Creates an artifact.
    pub(crate) async fn create(&self, artifact: Artifact) -> Result<CreateArtifactResponse, Status> {
        let request = CreateArtifactRequest { artifact: Some(artifact), ..CreateArtifactRequest::default() };
        Ok(self.artifacts().create_artifact(request).await?.into_inner())
    }

    /// Creates an artifact that is not there yet.
    pub(crate) async fn created(&self, artifact: Artifact) -> Artifact {
        let CreateArtifactResponse { artifact, deduplicated } = self.create(artifact).await.unwrap();
        assert!(!deduplicated);
        artifact.unwrap()
    }

    /// Updates an artifact; without paths, what is set in it.
    pub(crate) async fn update(&self, artifact: Artifact, paths: &[&str]) -> Result<Artifact, Status> {
        let update_mask = (!paths.is_empty()).then(|| mask(paths));
        let request =
            UpdateArtifactRequest { artifact: Some(artifact), update_mask, ..UpdateArtifactRequest::default() };
        Ok(self.artifacts().update_artifact(request).await?.into_inner())
    }

    /// An artifact that exists.
    pub(crate) async fn artifact(&self, uid: &str) -> Artifact {
        let request = GetArtifactRequest { uid: uid.to_owned(), read_mask: None };
        self.artifacts().get_artifact(request).await.unwrap().into_inner()
    }

    /// Writes artifacts in one chunk.
    pub(crate) async fn write_artifacts(&self, start: WriteStart, rows: &[Artifact]) -> (Totals, Result<(), Status>) {
        write(self.server.channel(), ARTIFACTS, start, rows).await
    }

    /// The stored body of an artifact, as JSON.
    pub(crate) async fn body(&self, uid: &str) -> serde_json::Value {
        let select = format!("select body::text from records.macrodata_artifact where uid = '{uid}'");
        serde_json::from_str(&self.texts(&select).await[0]).unwrap()
    }

    /// The identifiers of all artifacts of a kind, in order.
    pub(crate) async fn identifiers(&self, kind: &str) -> Vec<String> {
        let select = format!(
            "select identifier from records.macrodata_artifact where kind = '{kind}' and identifier is not null order by 1"
        );
        self.texts(&select).await
    }
}

/// An artifact with this payload.
pub(crate) fn with(payload: Payload) -> Artifact {
    Artifact { payload: Some(payload), ..Artifact::default() }
}

/// The hash of some content, by its number.
pub(crate) fn hash(number: usize) -> String {
    format!("{number:064x}")
}

/// A design asset without a uid.
pub(crate) fn asset(number: usize) -> Artifact {
    with(Payload::DesignAsset(DesignAsset {
        content_hash: hash(number),
        media_type: "image/png".to_owned(),
        size_bytes: 5_000_000_000,
        ..DesignAsset::default()
    }))
}

/// A template without a uid: a static post for women.
pub(crate) fn template(codes: &[&str]) -> Artifact {
    with(Payload::ComboTemplate(ComboTemplate {
        r#type: "SP".to_owned(),
        product_codes: codes.iter().map(|&code| code.to_owned()).collect(),
        audience: "WOMEN".to_owned(),
        ..ComboTemplate::default()
    }))
}

/// A suggestion without a uid.
pub(crate) fn suggestion(template_uid: &str) -> Artifact {
    with(Payload::ComboSuggestion(ComboSuggestion {
        template_uid: template_uid.to_owned(),
        rationale: "Sells well.".to_owned(),
        score: 0.75,
        ..ComboSuggestion::default()
    }))
}

/// A report without a uid, of what `template(&["IPH"])` is.
pub(crate) fn report() -> Artifact {
    with(Payload::ComboReport(ComboReport {
        r#type: "SP".to_owned(),
        product_codes: vec!["IPH".to_owned()],
        audience: "WOMEN".to_owned(),
        spend: "12.50".to_owned(),
        impressions: 9_000_000_000,
        clicks: 70,
        purchases: 3,
        notes: "Fine.".to_owned(),
        ..ComboReport::default()
    }))
}

/// A spec without a uid.
pub(crate) fn spec(thresholds: &[(&str, &str)]) -> Artifact {
    let thresholds: HashMap<String, String> =
        thresholds.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    with(Payload::ClassificationSpec(ClassificationSpec { metric_name: "roas".to_owned(), thresholds }))
}

/// A document without a uid.
pub(crate) fn document(title: &str) -> Artifact {
    with(Payload::Document(Document { title: title.to_owned(), ..Document::default() }))
}

/// The same artifact under a uid.
pub(crate) fn named(uid: &str, artifact: Artifact) -> Artifact {
    Artifact { uid: uid.to_owned(), ..artifact }
}

/// The payload of a template.
pub(crate) fn template_of(artifact: &Artifact) -> &ComboTemplate {
    match &artifact.payload {
        Some(Payload::ComboTemplate(template)) => template,
        other => panic!("{other:?}"),
    }
}

/// The payload of a suggestion.
pub(crate) fn suggestion_of(artifact: &Artifact) -> &ComboSuggestion {
    match &artifact.payload {
        Some(Payload::ComboSuggestion(suggestion)) => suggestion,
        other => panic!("{other:?}"),
    }
}

/// The payload of a report.
pub(crate) fn report_of(artifact: &Artifact) -> &ComboReport {
    match &artifact.payload {
        Some(Payload::ComboReport(report)) => report,
        other => panic!("{other:?}"),
    }
}

/// A report with another payload.
pub(crate) fn changed_report(artifact: &Artifact, change: impl FnOnce(&mut ComboReport)) -> Artifact {
    let mut report = report_of(artifact).clone();
    change(&mut report);
    Artifact { payload: Some(Payload::ComboReport(report)), etag: String::new(), revision: 0, ..artifact.clone() }
}

/// The phase of an artifact.
pub(crate) fn phase(artifact: &Artifact) -> &str {
    artifact.status.as_ref().map_or("", |status| status.phase.as_str())
}

/// The offset, reason and field of each row error.
pub(crate) fn told(errors: &[RowError]) -> Vec<(i64, &str, &str)> {
    let reason = |error: &RowError| error.reason().as_str_name().trim_start_matches("ERROR_REASON_");
    errors.iter().map(|error| (error.offset, reason(error), error.field.as_str())).collect()
}
