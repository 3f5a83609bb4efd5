//! Design assets, for the common tests.

use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::{
    Artifact, BatchGetArtifactsRequest, CheckArtifactsRequest, CreateArtifactRequest, DeleteArtifactRequest,
    DesignAsset, GetArtifactRequest, ListArtifactsRequest, ProductLink, StreamArtifactsRequest, UpdateArtifactRequest,
};
use tonic::Status;
use tonic::transport::Channel;

use super::subject::{Complete, Subject, pages};
use crate::records::Records;
use crate::records::artifacts::{ARTIFACTS, PRODUCT_LINKS, asset, named};
use crate::writes::stream::mask;

pub(crate) struct Artifacts(Records);

/// Uids sort like their numbers, negative ones first.
fn uid_of(number: i32) -> String {
    format!("mda_{:07}", number + 1_000_000)
}

fn number_of(uid: &str) -> i32 {
    uid[4..].parse::<i32>().unwrap() - 1_000_000
}

impl Subject for Artifacts {
    type Row = Artifact;
    const WRITE: &'static str = ARTIFACTS;
    const TEXT: &'static str = "design_asset.source_url";

    async fn new() -> Self {
        Self(Records::new().await)
    }

    fn channel(&self) -> Channel {
        self.0.server.channel()
    }

    fn row(number: i32) -> Artifact {
        let row = named(&uid_of(number), asset((number + 1_000_000) as usize));
        Self::with_text(row, &format!("https://{number}"))
    }

    fn number(row: &Artifact) -> i32 {
        number_of(&row.uid)
    }

    fn with_text(row: Artifact, text: &str) -> Artifact {
        let Some(Payload::DesignAsset(asset)) = row.payload else { panic!("no asset") };
        let payload = Some(Payload::DesignAsset(DesignAsset { source_url: text.to_owned(), ..asset }));
        Artifact { payload, ..row }
    }

    fn text(row: &Artifact) -> &str {
        match &row.payload {
            Some(Payload::DesignAsset(asset)) => &asset.source_url,
            _ => "",
        }
    }

    async fn stream(&self, page_size: i32, token: &str) -> Vec<(Vec<Artifact>, String)> {
        let request = StreamArtifactsRequest { page_size, resume_token: token.to_owned(), ..Default::default() };
        let stream = self.0.artifacts().stream_artifacts(request).await.unwrap().into_inner();
        pages(stream, |page| (page.artifacts, page.resume_token)).await
    }

    async fn add_dependent(&self, number: i32) {
        let links = ["prd_a", "prd_b"].map(|product| ProductLink {
            product_uid: product.to_owned(),
            artifact_uid: uid_of(number),
            create_ts: None,
        });
        self.0.write(PRODUCT_LINKS, &links).await;
    }

    async fn belonging(&self) -> i64 {
        let count = "select count(*) from records.link_product_macrodata_artifact";
        sqlx::query_scalar(count).fetch_one(&self.0.pool).await.unwrap()
    }
}

impl Complete for Artifacts {
    const MESSAGE: &'static str = "orrery.records.v1.Artifact";
    const KEYS: [&'static str; 2] = ["uids", "uids[0]"];

    fn etag(row: &Artifact) -> &str {
        &row.etag
    }

    fn with_etag(row: Artifact, etag: &str) -> Artifact {
        Artifact { etag: etag.to_owned(), ..row }
    }

    fn revision(row: &Artifact) -> i32 {
        row.revision
    }

    fn name(number: i32) -> String {
        uid_of(number)
    }

    async fn get(&self, number: i32) -> Result<Artifact, Status> {
        let request = GetArtifactRequest { uid: uid_of(number), read_mask: None };
        Ok(self.0.artifacts().get_artifact(request).await?.into_inner())
    }

    async fn batch_get(&self, numbers: &[i32]) -> Result<(Vec<Artifact>, Vec<i32>), Status> {
        let uids = numbers.iter().map(|&number| uid_of(number)).collect();
        let request = BatchGetArtifactsRequest { uids, read_mask: None };
        let found = self.0.artifacts().batch_get_artifacts(request).await?.into_inner();
        Ok((found.artifacts, found.missing_uids.iter().map(|uid| number_of(uid)).collect()))
    }

    async fn create(&self, row: Artifact, request_id: &str) -> Result<Artifact, Status> {
        let request = CreateArtifactRequest {
            artifact: Some(row),
            request_id: request_id.to_owned(),
            ..CreateArtifactRequest::default()
        };
        let created = self.0.artifacts().create_artifact(request).await?.into_inner();
        assert!(!created.deduplicated);
        Ok(created.artifact.unwrap())
    }

    async fn update(&self, row: Artifact, paths: &[&str], allow_missing: bool) -> Result<Artifact, Status> {
        let request = UpdateArtifactRequest {
            artifact: Some(row),
            update_mask: Some(mask(paths)),
            allow_missing,
            ..UpdateArtifactRequest::default()
        };
        Ok(self.0.artifacts().update_artifact(request).await?.into_inner())
    }

    async fn delete(&self, number: i32, etag: &str, allow_missing: bool) -> Result<(), Status> {
        let (uid, etag) = (uid_of(number), etag.to_owned());
        let request = DeleteArtifactRequest { uid, etag, allow_missing, force: true, ..Default::default() };
        self.0.artifacts().delete_artifact(request).await.map(|_| ())
    }

    async fn list(&self, page_size: i32, order_by: &str, token: &str) -> Result<(Vec<Artifact>, String), Status> {
        let (order_by, page_token) = (order_by.to_owned(), token.to_owned());
        let request = ListArtifactsRequest { page_size, order_by, page_token, ..Default::default() };
        let page = self.0.artifacts().list_artifacts(request).await?.into_inner();
        Ok((page.artifacts, page.next_page_token))
    }

    async fn check(&self, numbers: &[i32]) -> Result<(i64, Vec<i32>), Status> {
        let request = CheckArtifactsRequest { uids: numbers.iter().map(|&number| uid_of(number)).collect() };
        let answers = self.0.artifacts().check_artifacts(tokio_stream::iter([request])).await?;
        let answer = answers.into_inner().message().await?.unwrap();
        Ok((answer.checked, answer.missing_uids.iter().map(|uid| number_of(uid)).collect()))
    }
}
