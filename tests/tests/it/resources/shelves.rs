//! Shelves, for the common tests: a key of three columns. Negative numbers are negative slots.

use orrery_proto::r#type::v1::WriteStart;
use tonic::Status;
use tonic::transport::Channel;

use super::subject::{Complete, Subject, pages};
use crate::shelves::contract::shelf::Load;
use crate::shelves::contract::{
    BatchGetShelvesRequest, CheckShelvesRequest, CreateShelfRequest, DeleteShelfRequest, GetShelfRequest, Inspection,
    ListShelvesRequest, Shelf, ShelfKey, Stocktake, StreamShelvesRequest, Tank, UpdateShelfRequest,
};
use crate::shelves::{SHELVES, STOCKTAKES, Shelves, boxed, shelf};
use crate::writes::stream::{mask, write};

pub(crate) struct ShelfSubject(Shelves);

fn key(number: i32) -> ShelfKey {
    ShelfKey { warehouse: "north".to_owned(), aisle: "a".to_owned(), slot: number }
}

impl Subject for ShelfSubject {
    type Row = Shelf;
    const WRITE: &'static str = SHELVES;
    const TEXT: &'static str = "note";

    async fn new() -> Self {
        Self(Shelves::new().await)
    }

    fn channel(&self) -> Channel {
        self.0.channel()
    }

    fn row(number: i32) -> Shelf {
        Shelf {
            note: format!("Note of {number}"),
            label: format!("Label {number}"),
            tags: vec!["dry".to_owned()],
            boxes: vec![boxed(1, "bolts"), boxed(2, "nuts")],
            inspection: Some(Inspection { inspector: "Ada".to_owned(), ..Inspection::default() }),
            labels: [("floor".to_owned(), "1".to_owned())].into(),
            load: (number % 2 == 0).then(|| Load::Tank(Tank { volume: 7, ..Tank::default() })),
            ..shelf(number)
        }
    }

    fn number(row: &Shelf) -> i32 {
        row.slot
    }

    fn with_text(row: Shelf, text: &str) -> Shelf {
        Shelf { note: text.to_owned(), ..row }
    }

    fn text(row: &Shelf) -> &str {
        &row.note
    }

    async fn stream(&self, page_size: i32, token: &str) -> Vec<(Vec<Shelf>, String)> {
        let request = StreamShelvesRequest { page_size, resume_token: token.to_owned(), ..Default::default() };
        let stream = self.0.client().stream_shelves(request).await.unwrap().into_inner();
        pages(stream, |page| (page.shelves, page.resume_token)).await
    }

    async fn add_dependent(&self, number: i32) {
        let ShelfKey { warehouse, aisle, slot } = key(number);
        let day = "monday".to_owned();
        let stocktake = Stocktake { warehouse, aisle, slot, day, quantity: 7, ..Stocktake::default() };
        write(self.channel(), STOCKTAKES, WriteStart::default(), &[stocktake]).await.1.unwrap();
    }

    async fn belonging(&self) -> i64 {
        self.0.count("box").await + self.0.count("inspection").await + self.0.count("stocktake").await
    }
}

impl Complete for ShelfSubject {
    const MESSAGE: &'static str = "orrery.test.v1.Shelf";
    const KEYS: [&'static str; 2] = ["keys", "keys[0].warehouse"];

    fn etag(row: &Shelf) -> &str {
        &row.etag
    }

    fn with_etag(row: Shelf, etag: &str) -> Shelf {
        Shelf { etag: etag.to_owned(), ..row }
    }

    fn revision(row: &Shelf) -> i32 {
        row.revision
    }

    fn name(number: i32) -> String {
        format!("north/a/{number}")
    }

    async fn get(&self, number: i32) -> Result<Shelf, Status> {
        let ShelfKey { warehouse, aisle, slot } = key(number);
        let request = GetShelfRequest { warehouse, aisle, slot, ..Default::default() };
        Ok(self.0.client().get_shelf(request).await?.into_inner())
    }

    async fn batch_get(&self, numbers: &[i32]) -> Result<(Vec<Shelf>, Vec<i32>), Status> {
        let keys = numbers.iter().map(|&number| key(number)).collect();
        let found = self.0.client().batch_get_shelves(BatchGetShelvesRequest { keys, ..Default::default() }).await?;
        let found = found.into_inner();
        for missing in &found.missing_keys {
            assert_eq!(*missing, key(missing.slot));
        }
        Ok((found.shelves, found.missing_keys.iter().map(|key| key.slot).collect()))
    }

    async fn create(&self, row: Shelf, request_id: &str) -> Result<Shelf, Status> {
        let request = CreateShelfRequest {
            shelf: Some(row),
            request_id: request_id.to_owned(),
            view: crate::shelves::contract::ShelfView::Full.into(),
            ..Default::default()
        };
        Ok(self.0.client().create_shelf(request).await?.into_inner())
    }

    async fn update(&self, row: Shelf, paths: &[&str], allow_missing: bool) -> Result<Shelf, Status> {
        let request = UpdateShelfRequest {
            shelf: Some(row),
            update_mask: Some(mask(paths)),
            allow_missing,
            view: crate::shelves::contract::ShelfView::Full.into(),
            ..Default::default()
        };
        Ok(self.0.client().update_shelf(request).await?.into_inner())
    }

    async fn delete(&self, number: i32, etag: &str, allow_missing: bool) -> Result<(), Status> {
        let (ShelfKey { warehouse, aisle, slot }, etag) = (key(number), etag.to_owned());
        let request = DeleteShelfRequest { warehouse, aisle, slot, etag, allow_missing, ..Default::default() };
        self.0.client().delete_shelf(request).await.map(|_| ())
    }

    async fn list(&self, page_size: i32, order_by: &str, token: &str) -> Result<(Vec<Shelf>, String), Status> {
        let (order_by, page_token) = (order_by.to_owned(), token.to_owned());
        let request = ListShelvesRequest { page_size, order_by, page_token, ..Default::default() };
        let page = self.0.client().list_shelves(request).await?.into_inner();
        Ok((page.shelves, page.next_page_token))
    }

    async fn check(&self, numbers: &[i32]) -> Result<(i64, Vec<i32>), Status> {
        let request = CheckShelvesRequest { keys: numbers.iter().map(|&number| key(number)).collect() };
        let mut answers = self.0.client().check_shelves(tokio_stream::iter([request])).await?.into_inner();
        let answer = answers.message().await?.unwrap();
        Ok((answer.checked, answer.missing_keys.iter().map(|key| key.slot).collect()))
    }
}
