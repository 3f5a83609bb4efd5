//! The catalogs of artifacts.

use orrery_proto::records::v1::{
    Artifact, CreateMacrodataCatalogRequest, DeleteArtifactRequest, DeleteMacrodataCatalogRequest,
    GetMacrodataCatalogRequest, ListMacrodataCatalogsRequest, MacrodataCatalog, MacrodataCatalogFilter,
    UpdateMacrodataCatalogRequest,
};
use tonic::{Code, Status};

use super::asset;
use crate::harness::{assert_invalid, refusal};
use crate::records::Records;
use crate::writes::stream::{assert_status, mask};

async fn create(records: &Records, name: &str) -> Result<MacrodataCatalog, Status> {
    let catalog = MacrodataCatalog { name: name.to_owned(), ..MacrodataCatalog::default() };
    let request = CreateMacrodataCatalogRequest { macrodata_catalog: Some(catalog), ..Default::default() };
    Ok(records.artifacts().create_macrodata_catalog(request).await?.into_inner())
}

async fn rename(records: &Records, uid: &str, name: &str) -> Result<MacrodataCatalog, Status> {
    let catalog = MacrodataCatalog { uid: uid.to_owned(), name: name.to_owned(), ..MacrodataCatalog::default() };
    let request = UpdateMacrodataCatalogRequest {
        macrodata_catalog: Some(catalog),
        update_mask: Some(mask(&["name"])),
        ..Default::default()
    };
    Ok(records.artifacts().update_macrodata_catalog(request).await?.into_inner())
}

async fn delete(records: &Records, uid: &str) -> Result<(), Status> {
    let request = DeleteMacrodataCatalogRequest { uid: uid.to_owned(), ..Default::default() };
    records.artifacts().delete_macrodata_catalog(request).await.map(|_| ())
}

async fn list(records: &Records, request: ListMacrodataCatalogsRequest) -> Vec<String> {
    let page = records.artifacts().list_macrodata_catalogs(request).await.unwrap().into_inner();
    page.macrodata_catalogs.into_iter().map(|catalog| catalog.name).collect()
}

#[tokio::test]
async fn a_name_is_taken_in_any_letter_case() {
    let records = Records::new().await;
    let spring = create(&records, "Spring").await.unwrap();
    assert!(spring.uid.starts_with("mdc_"));
    let taken = create(&records, "SPRING").await.unwrap_err();
    assert_eq!(
        (taken.code(), refusal(&taken).fields),
        (Code::AlreadyExists, vec!["macrodata_catalog.name".to_owned()])
    );
    let autumn = create(&records, "Autumn").await.unwrap();
    assert_eq!(rename(&records, &autumn.uid, "sPRING").await.unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(rename(&records, &spring.uid, "SPRING").await.unwrap().name, "SPRING");
    assert_invalid(create(&records, "").await, "FIELD_INVALID", "macrodata_catalog.name");
    let get = GetMacrodataCatalogRequest { uid: spring.uid.clone(), read_mask: None };
    assert_eq!(records.artifacts().get_macrodata_catalog(get).await.unwrap().into_inner().name, "SPRING");
    let by_name = ListMacrodataCatalogsRequest { order_by: "name".to_owned(), ..Default::default() };
    assert_eq!(list(&records, by_name).await, ["Autumn", "SPRING"]);
    let filter = MacrodataCatalogFilter { name_contains: "utu".to_owned(), ..Default::default() };
    let found = ListMacrodataCatalogsRequest { filter: Some(filter), ..Default::default() };
    assert_eq!(list(&records, found).await, ["Autumn"]);
}

#[tokio::test]
async fn a_catalog_with_artifacts_stays() {
    let records = Records::new().await;
    let spring = create(&records, "Spring").await.unwrap();
    let made = records.created(Artifact { catalog_uid: spring.uid.clone(), ..asset(1) }).await;
    assert_eq!(made.catalog_uid, spring.uid);
    let refused = delete(&records, &spring.uid).await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "RESOURCE_REFERENCED");
    let force = DeleteArtifactRequest { uid: made.uid, force: true, ..DeleteArtifactRequest::default() };
    records.artifacts().delete_artifact(force).await.unwrap();
    delete(&records, &spring.uid).await.unwrap();
    assert_eq!(delete(&records, &spring.uid).await.unwrap_err().code(), Code::NotFound);
}
