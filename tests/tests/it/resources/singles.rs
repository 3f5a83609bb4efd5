//! Writes of one row.

use tonic::Code;

use super::subject::Complete;
use crate::harness::refusal;
use crate::writes::stream::assert_status;

pub(super) async fn a_create_is_done_once_by_its_request_id<S: Complete>() {
    let service = S::new().await;
    let created = service.create(S::row(-1), "request").await.unwrap();
    assert_eq!(service.create(S::row(-1), "request").await.unwrap(), created);
    let other = service.create(S::with_text(S::row(-1), "other"), "request").await.unwrap_err();
    assert_status(&other, Code::InvalidArgument, "WRITE_SESSION_MISMATCH");
    let exists = service.create(S::row(-1), "").await.unwrap_err();
    assert_status(&exists, Code::AlreadyExists, "RESOURCE_EXISTS");
    assert_eq!(service.all().await, [(-1, S::text(&created).to_owned())]);
    service.delete(-1, "", false).await.unwrap();
    let deleted = service.create(S::row(-1), "request").await.unwrap_err();
    assert_status(&deleted, Code::NotFound, "CREATED_RESOURCE_DELETED");
}

pub(super) async fn an_update_changes_what_its_mask_names<S: Complete>() {
    let service = S::new().await;
    let created = service.create(S::row(-1), "").await.unwrap();
    let changed = S::with_text(created.clone(), "changed");
    // No field in the mask differs.
    let same = service.update(changed.clone(), &["labels"], false).await.unwrap();
    assert_eq!((S::text(&same), S::etag(&same)), (S::text(&created), S::etag(&created)));
    let updated = service.update(changed.clone(), &[S::TEXT], false).await.unwrap();
    assert_eq!(S::text(&updated), "changed");
    assert_ne!(S::etag(&updated), S::etag(&created));
    if S::revision(&created) > 0 {
        assert_eq!(S::revision(&updated), S::revision(&created) + 1);
    }
    assert_eq!(service.get(-1).await.unwrap(), updated);
    // The row has the etag that it was created with.
    let stale = service.update(S::with_text(created.clone(), "stale"), &[S::TEXT], false).await.unwrap_err();
    assert_eq!(stale.code(), Code::Aborted);
    let missing = service.update(S::with_text(S::row(7), "new"), &[S::TEXT], false).await.unwrap_err();
    assert_status(&missing, Code::NotFound, "RESOURCE_NOT_FOUND");
    let made = service.update(S::with_text(S::row(7), "new"), &[S::TEXT], true).await.unwrap();
    assert_eq!((S::number(&made), S::text(&made)), (7, "new"));
    let key = service.update(S::row(7), &["nonsense"], false).await.unwrap_err();
    assert_eq!(refusal(&key).fields, ["update_mask"]);
    assert_eq!(service.all().await, [(-1, "changed".to_owned()), (7, "new".to_owned())]);
}

pub(super) async fn a_delete_takes_all_that_belongs_to_the_row<S: Complete>() {
    let service = S::new().await;
    let first = service.create(S::row(-1), "").await.unwrap();
    service.add_dependent(-1).await;
    let of_one = service.belonging().await;
    service.create(S::row(1), "").await.unwrap();
    service.add_dependent(1).await;
    assert_eq!(service.belonging().await, 2 * of_one);
    let wrong = service.delete(-1, "no-etag", false).await.unwrap_err();
    assert_status(&wrong, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(service.all().await.len(), 2);
    service.delete(-1, S::etag(&first), false).await.unwrap();
    assert_eq!((service.all().await.len(), service.belonging().await), (1, of_one));
    let gone = service.delete(-1, "", false).await.unwrap_err();
    assert_status(&gone, Code::NotFound, "RESOURCE_NOT_FOUND");
    service.delete(-1, "", true).await.unwrap();
    assert_eq!((service.all().await.len(), service.belonging().await), (1, of_one));
}
