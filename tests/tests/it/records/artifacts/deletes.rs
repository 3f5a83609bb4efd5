//! DeleteArtifact: archives, or deletes with the links.

use orrery_proto::records::v1::{Artifact, DeleteArtifactRequest, ProductLink};
use orrery_proto::r#type::v1::{WriteMode, WriteStart};
use tonic::{Code, Status};

use super::{PRODUCT_LINKS, asset, document, named, phase, suggestion, told};
use crate::harness::assert_invalid;
use crate::records::Records;
use crate::resources::skipping;
use crate::writes::stream::{assert_status, write};

async fn delete(records: &Records, request: DeleteArtifactRequest) -> Result<(), Status> {
    records.artifacts().delete_artifact(request).await.map(|_| ())
}

fn of(uid: &str) -> DeleteArtifactRequest {
    DeleteArtifactRequest { uid: uid.to_owned(), ..DeleteArtifactRequest::default() }
}

async fn link(records: &Records, artifact_uid: &str, products: usize) {
    let links: Vec<ProductLink> = (0..products)
        .map(|number| ProductLink {
            product_uid: format!("prd_{number:06}"),
            artifact_uid: artifact_uid.to_owned(),
            create_ts: None,
        })
        .collect();
    for links in links.chunks(10_000) {
        write(records.server.channel(), PRODUCT_LINKS, WriteStart::default(), links).await.1.unwrap();
    }
}

async fn links(records: &Records) -> String {
    records.texts("select count(*)::text from records.link_product_macrodata_artifact").await.remove(0)
}

#[tokio::test]
async fn a_delete_archives_and_keeps_everything_else() {
    let records = Records::new().await;
    for artifact in [asset(1), suggestion(""), document("a")] {
        let made = records.created(artifact).await;
        delete(&records, of(&made.uid)).await.unwrap();
        let archived = records.artifact(&made.uid).await;
        assert_eq!((phase(&archived), archived.revision, archived.payload.clone()), ("archived", 2, made.payload));
        delete(&records, of(&made.uid)).await.unwrap();
        assert_eq!(records.artifact(&made.uid).await, archived);
    }
}

#[tokio::test]
async fn a_delete_respects_preconditions() {
    let records = Records::new().await;
    let made = records.created(asset(1)).await;
    for force in [false, true] {
        let stale = DeleteArtifactRequest { etag: "none".to_owned(), force, ..of(&made.uid) };
        assert_status(&delete(&records, stale).await.unwrap_err(), Code::Aborted, "ETAG_MISMATCH");
        let stale = DeleteArtifactRequest { revision: 7, force, ..of(&made.uid) };
        assert_status(&delete(&records, stale).await.unwrap_err(), Code::Aborted, "REVISION_MISMATCH");
        let missing = DeleteArtifactRequest { force, ..of("mda_none") };
        assert_eq!(delete(&records, missing.clone()).await.unwrap_err().code(), Code::NotFound);
        delete(&records, DeleteArtifactRequest { allow_missing: true, ..missing }).await.unwrap();
        assert_invalid(delete(&records, DeleteArtifactRequest { force, ..of("") }).await, "FIELD_INVALID", "uid");
        let invalid = DeleteArtifactRequest { revision: -1, force, ..of(&made.uid) };
        assert_invalid(delete(&records, invalid).await, "FIELD_INVALID", "revision");
        let invalid = DeleteArtifactRequest { etag: "a\0".to_owned(), force, ..of(&made.uid) };
        assert_invalid(delete(&records, invalid).await, "FIELD_INVALID", "etag");
    }
    assert_eq!(records.artifact(&made.uid).await, made);
    let (etag, revision) = (made.etag, made.revision);
    delete(&records, DeleteArtifactRequest { etag, revision, ..of(&made.uid) }).await.unwrap();
    assert_eq!(phase(&records.artifact(&made.uid).await), "archived");
}

#[tokio::test]
async fn a_forced_delete_takes_the_links_along_however_many() {
    let records = Records::new().await;
    let (one, other) = (records.created(asset(1)).await, records.created(asset(2)).await);
    link(&records, &one.uid, 12_345).await;
    link(&records, &other.uid, 5).await;
    delete(&records, DeleteArtifactRequest { force: true, ..of(&one.uid) }).await.unwrap();
    assert_eq!(links(&records).await, "5");
    let gone = delete(&records, DeleteArtifactRequest { force: true, ..of(&one.uid) }).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    // Its content may be created again.
    records.created(asset(1)).await;
}

#[tokio::test]
async fn a_chunked_delete_takes_links_as_far_as_one_transaction_can() {
    let records = Records::new().await;
    let rows: Vec<Artifact> = (1..4).map(|number| named(&format!("mda_{number}"), asset(number))).collect();
    records.write_artifacts(WriteStart::default(), &rows).await.1.unwrap();
    link(&records, "mda_1", 7).await;
    link(&records, "mda_2", 5_001).await;
    let (totals, end) = records.write_artifacts(skipping(WriteMode::Delete), &rows).await;
    end.unwrap();
    assert_eq!((told(&totals.errors), totals.deleted), (vec![(1, "RESOURCE_REFERENCED", "")], 2));
    assert_eq!(records.texts("select uid from records.macrodata_artifact").await, ["mda_2"]);
    delete(&records, DeleteArtifactRequest { force: true, ..of("mda_2") }).await.unwrap();
    assert_eq!(links(&records).await, "0");
}
