//! Products, for the common tests.

use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, CheckProductsRequest, CreateProductRequest, DeleteProductRequest, GetProductRequest,
    ListProductsRequest, Product, ProductMetric, StreamProductsRequest, UpdateProductRequest,
};
use orrery_proto::r#type::v1::WriteStart;
use tonic::Status;
use tonic::transport::Channel;

use super::subject::{Complete, Subject, pages};
use crate::harness::{product, uid};
use crate::writes::Fixture;
use crate::writes::stream::{METRICS, PRODUCTS, mask, write};

pub(crate) struct Products(Fixture);

/// Uids sort like their numbers, negative ones first.
pub(super) fn uid_of(number: i32) -> String {
    uid((number + 1_000_000) as usize)
}

pub(super) fn number_of(uid: &str) -> i32 {
    uid[4..].parse::<i32>().unwrap() - 1_000_000
}

impl Subject for Products {
    type Row = Product;
    const WRITE: &'static str = PRODUCTS;
    const TEXT: &'static str = "name";

    async fn new() -> Self {
        Self(Fixture::new().await)
    }

    fn channel(&self) -> Channel {
        self.0.server.channel()
    }

    fn row(number: i32) -> Product {
        product(&uid_of(number))
    }

    fn number(row: &Product) -> i32 {
        number_of(&row.uid)
    }

    fn with_text(row: Product, text: &str) -> Product {
        Product { name: text.to_owned(), ..row }
    }

    fn text(row: &Product) -> &str {
        &row.name
    }

    async fn stream(&self, page_size: i32, token: &str) -> Vec<(Vec<Product>, String)> {
        let request = StreamProductsRequest { page_size, resume_token: token.to_owned(), ..Default::default() };
        let stream = self.0.server.client().stream_products(request).await.unwrap().into_inner();
        pages(stream, |page| (page.products, page.resume_token)).await
    }

    async fn add_dependent(&self, number: i32) {
        let metric = ProductMetric {
            product_uid: uid_of(number),
            name: "views".to_owned(),
            value: "7".to_owned(),
            ..ProductMetric::default()
        };
        write(self.channel(), METRICS, WriteStart::default(), &[metric]).await.1.unwrap();
    }

    async fn belonging(&self) -> i64 {
        self.0.count("catalog.product_metric").await
    }
}

impl Complete for Products {
    const MESSAGE: &'static str = "orrery.catalog.v1.Product";
    const KEYS: [&'static str; 2] = ["uids", "uids[0]"];

    fn etag(row: &Product) -> &str {
        &row.etag
    }

    fn with_etag(row: Product, etag: &str) -> Product {
        Product { etag: etag.to_owned(), ..row }
    }

    fn revision(_: &Product) -> i32 {
        0
    }

    fn name(number: i32) -> String {
        uid_of(number)
    }

    async fn get(&self, number: i32) -> Result<Product, Status> {
        let request = GetProductRequest { uid: uid_of(number), read_mask: None };
        Ok(self.0.server.client().get_product(request).await?.into_inner())
    }

    async fn batch_get(&self, numbers: &[i32]) -> Result<(Vec<Product>, Vec<i32>), Status> {
        let uids = numbers.iter().map(|&number| uid_of(number)).collect();
        let request = BatchGetProductsRequest { uids, read_mask: None };
        let found = self.0.server.client().batch_get_products(request).await?.into_inner();
        Ok((found.products, found.missing_uids.iter().map(|uid| number_of(uid)).collect()))
    }

    async fn create(&self, row: Product, request_id: &str) -> Result<Product, Status> {
        let request = CreateProductRequest {
            product: Some(row),
            request_id: request_id.to_owned(),
            ..CreateProductRequest::default()
        };
        Ok(self.0.server.client().create_product(request).await?.into_inner())
    }

    async fn update(&self, row: Product, paths: &[&str], allow_missing: bool) -> Result<Product, Status> {
        let request = UpdateProductRequest {
            product: Some(row),
            update_mask: Some(mask(paths)),
            allow_missing,
            ..UpdateProductRequest::default()
        };
        Ok(self.0.server.client().update_product(request).await?.into_inner())
    }

    async fn delete(&self, number: i32, etag: &str, allow_missing: bool) -> Result<(), Status> {
        let request = DeleteProductRequest { uid: uid_of(number), etag: etag.to_owned(), allow_missing };
        self.0.server.client().delete_product(request).await.map(|_| ())
    }

    async fn list(&self, page_size: i32, order_by: &str, token: &str) -> Result<(Vec<Product>, String), Status> {
        let (order_by, page_token) = (order_by.to_owned(), token.to_owned());
        let request = ListProductsRequest { page_size, order_by, page_token, ..Default::default() };
        let page = self.0.server.client().list_products(request).await?.into_inner();
        Ok((page.products, page.next_page_token))
    }

    async fn check(&self, numbers: &[i32]) -> Result<(i64, Vec<i32>), Status> {
        let request = CheckProductsRequest { uids: numbers.iter().map(|&number| uid_of(number)).collect() };
        let mut answers = self.0.server.client().check_products(tokio_stream::iter([request])).await?.into_inner();
        let answer = answers.message().await?.unwrap();
        Ok((answer.checked, answer.missing_uids.iter().map(|uid| number_of(uid)).collect()))
    }
}
