//! Design assets: an asset is its content.

use std::collections::HashSet;

use futures::future::join_all;
use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::{
    Artifact, CreateArtifactRequest, CreateArtifactResponse, DesignAsset, UpdateArtifactRequest,
};
use orrery_proto::r#type::v1::{WriteMode, WriteStart};
use tonic::Code;

use super::{asset, document, hash, named, told, with};
use crate::harness::refusal;
use crate::records::Records;
use crate::resources::{in_mode, skipping};
use crate::writes::stream::assert_status;

#[tokio::test]
async fn a_create_whose_content_is_there_returns_what_is_there() {
    let records = Records::new().await;
    let first = records.created(asset(1)).await;
    assert!(first.uid.starts_with("mda_"));
    assert_eq!((first.content_hash.as_str(), first.revision), (hash(1).as_str(), 1));
    let other = Artifact { identifier: "another".to_owned(), ..asset(1) };
    let again = records.create(other).await.unwrap();
    assert_eq!(again, CreateArtifactResponse { artifact: Some(first.clone()), deduplicated: true });
    // Under a uid of its own too, in any phase, and whatever else is asked for.
    let status = Some(crate::harness::status("archived"));
    let archived = Artifact { uid: first.uid.clone(), status, ..Artifact::default() };
    records.update(archived, &["status.phase"]).await.unwrap();
    let again = records.create(named("mda_other", asset(1))).await.unwrap();
    assert_eq!((again.artifact.unwrap().uid, again.deduplicated), (first.uid.clone(), true));
    let upsert = UpdateArtifactRequest {
        artifact: Some(named("mda_third", asset(1))),
        allow_missing: true,
        ..UpdateArtifactRequest::default()
    };
    let found = records.artifacts().update_artifact(upsert).await.unwrap().into_inner();
    assert_eq!(found.uid, first.uid);
    assert_eq!(records.texts("select uid from records.macrodata_artifact").await, [first.uid]);
    // The hash of a document is not one.
    records.created(document("a")).await;
    records.created(asset(2)).await;
}

#[tokio::test]
async fn a_retry_of_a_create_that_found_an_asset_finds_it_again() {
    let records = Records::new().await;
    let first = records.created(asset(1)).await;
    let request = CreateArtifactRequest {
        artifact: Some(asset(1)),
        request_id: "once".to_owned(),
        ..CreateArtifactRequest::default()
    };
    for _ in 0..2 {
        let found = records.artifacts().create_artifact(request.clone()).await.unwrap().into_inner();
        assert_eq!(found.artifact.unwrap().uid, first.uid);
    }
}

#[tokio::test]
async fn of_32_creators_of_one_content_one_creates_and_all_get_the_asset() {
    let records = Records::new().await;
    for round in 0..4 {
        let creates = (0..32).map(|_| records.create(asset(round)));
        let answers: Vec<CreateArtifactResponse> =
            join_all(creates).await.into_iter().map(|answer| answer.unwrap()).collect();
        let uids: HashSet<&str> = answers.iter().map(|answer| answer.artifact.as_ref().unwrap().uid.as_str()).collect();
        assert_eq!(uids.len(), 1);
        assert_eq!(answers.iter().filter(|answer| !answer.deduplicated).count(), 1);
    }
    assert_eq!(records.texts("select count(*)::text from records.macrodata_artifact").await, ["4"]);
}

#[tokio::test]
async fn of_32_chunks_with_one_content_one_creates_it_once() {
    let records = Records::new().await;
    let rows = |nth: usize| ["a", "b"].map(|name| named(&format!("mda_{name}{nth}"), asset(1)));
    let chunks: Vec<_> = (0..32).map(rows).collect();
    let writes = chunks.iter().map(|rows| records.write_artifacts(WriteStart::default(), rows));
    let counts = join_all(writes).await.into_iter().map(|(totals, end)| {
        end.unwrap();
        totals.counts()
    });
    let mut counts: Vec<_> = counts.collect();
    counts.sort_unstable();
    assert_eq!((counts[0], counts[30], counts[31]), ([0, 0, 2, 0, 0], [0, 0, 2, 0, 0], [1, 0, 1, 0, 0]));
    assert_eq!(records.texts("select count(*)::text from records.macrodata_artifact").await, ["1"]);
}

#[tokio::test]
async fn in_a_chunk_what_is_there_counts_as_unchanged() {
    let records = Records::new().await;
    let first = records.created(asset(1)).await;
    let rows = [
        named("mda_a", asset(1)),
        named("mda_b", asset(2)),
        named("mda_c", asset(2)),
        named("mda_d", asset(3)),
        named(&first.uid, asset(1)),
    ];
    let (totals, end) = records.write_artifacts(WriteStart::default(), &rows).await;
    end.unwrap();
    assert_eq!(totals.counts(), [2, 0, 3, 0, 0], "{:?}", totals.errors);
    let stored = "select uid from records.macrodata_artifact where uid like 'mda__' order by 1";
    assert_eq!(records.texts(stored).await, ["mda_b", "mda_d"]);
    let (totals, end) = records.write_artifacts(in_mode(WriteMode::Create), &rows[..3]).await;
    assert_status(&end.unwrap_err(), Code::InvalidArgument, "ROW_REJECTED");
    assert_eq!(told(&totals.errors), [(1, "RESOURCE_EXISTS", "")]);
}

#[tokio::test]
async fn a_row_is_refused_with_the_equal_one_that_it_was_to_use() {
    let records = Records::new().await;
    records.created(Artifact { identifier: "taken".to_owned(), ..asset(9) }).await;
    let rows = [
        Artifact { identifier: "taken".to_owned(), ..named("mda_a", asset(1)) },
        named("mda_b", asset(1)),
        named("mda_c", asset(2)),
    ];
    let (totals, end) = records.write_artifacts(skipping(WriteMode::Upsert), &rows).await;
    end.unwrap();
    assert_eq!(told(&totals.errors), [(0, "RESOURCE_EXISTS", "identifier"), (1, "FIELD_INVALID", "")]);
    assert_eq!(totals.counts(), [1, 0, 0, 2, 0]);
}

#[tokio::test]
async fn the_content_of_an_asset_does_not_change() {
    let records = Records::new().await;
    let first = records.created(asset(1)).await;
    let changed = named(&first.uid, asset(2));
    for paths in [&[][..], &["design_asset.content_hash"], &["design_asset"], &["*"]] {
        let refused = refusal(&records.update(changed.clone(), paths).await.unwrap_err());
        assert_eq!(refused.fields, ["artifact.design_asset.content_hash"], "{paths:?}");
    }
    let (totals, end) = records.write_artifacts(skipping(WriteMode::Upsert), &[changed]).await;
    end.unwrap();
    assert_eq!(told(&totals.errors), [(0, "FIELD_INVALID", "design_asset.content_hash")]);
    let with_url = DesignAsset { source_url: "https://a".to_owned(), ..DesignAsset::default() };
    let updated = records.update(named(&first.uid, with(Payload::DesignAsset(with_url))), &[]).await.unwrap();
    assert_eq!((updated.revision, updated.content_hash), (2, hash(1)));
    // The column is the service's own.
    let forged = Artifact { content_hash: hash(7), ..named(&first.uid, asset(1)) };
    assert_eq!(records.update(forged.clone(), &[]).await.unwrap().content_hash, hash(1));
    let refused = refusal(&records.update(forged, &["content_hash"]).await.unwrap_err());
    assert_eq!(refused.fields, ["update_mask"]);
}

#[tokio::test]
async fn a_hash_has_a_form() {
    let records = Records::new().await;
    for content_hash in ["", "abc", &"A".repeat(64), &"g".repeat(64), &"a".repeat(65)] {
        let asset = DesignAsset { content_hash: content_hash.to_owned(), ..DesignAsset::default() };
        let refused = refusal(&records.create(with(Payload::DesignAsset(asset))).await.unwrap_err());
        assert_eq!(refused.fields, ["artifact.design_asset.content_hash"], "{content_hash}");
    }
}
