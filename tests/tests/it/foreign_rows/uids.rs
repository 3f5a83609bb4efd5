//! Products and metrics with keys outside of the contract's grammar can be read, changed and deleted like others.

use orrery_proto::catalog::v1::{
    BatchGetProductsRequest, CheckProductsRequest, DeleteProductRequest, GetProductMetricsRequest, ListProductsRequest,
    Product, ProductFilter, ProductMetric, ProductMetricFilter, StreamProductMetricsRequest, UpdateProductRequest,
};
use orrery_proto::r#type::v1::{RowErrorPolicy, WriteMode, WriteStart};
use sqlx::query;
use tonic::Code;

use super::{get, mask, update, write_with};
use crate::harness::{CatalogServer, Role, TestDatabase};
use crate::orders::foreign_rows::uids::foreign_keys;
use crate::writes::stream::{METRICS, write};

/// The part of a key that can be used as a metric's name: two long texts do not fit into one index row.
fn name_of(key: &str) -> &str {
    if key.len() == 2_000 && !key.starts_with("xx") { "Their Name!" } else { key }
}

#[tokio::test]
async fn products_and_metrics_of_any_key_are_read_changed_and_deleted() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let server = CatalogServer::start(&database).await;
    let keys = foreign_keys();
    for key in &keys {
        query("insert into catalog.product (uid, name) values ($1, 'theirs')")
            .bind(key)
            .execute(&mut operator)
            .await
            .unwrap();
        query("insert into catalog.product_metric (product_uid, name, value) values ($1, $2, 1)")
            .bind(key)
            .bind(name_of(key))
            .execute(&mut operator)
            .await
            .unwrap();
    }
    let mut client = server.client();
    let filter = Some(ProductFilter { uids: keys.clone(), ..ProductFilter::default() });
    let list = client.list_products(ListProductsRequest { filter, page_size: 1_000, ..Default::default() }).await;
    let listed: Vec<String> = list.unwrap().into_inner().products.into_iter().map(|product| product.uid).collect();
    assert_eq!(listed, keys);
    let batch = client.batch_get_products(BatchGetProductsRequest { uids: keys.clone(), read_mask: None }).await;
    assert_eq!(batch.unwrap().into_inner().products.len(), keys.len());
    let checks = tokio_stream::iter([CheckProductsRequest { uids: keys.clone() }]);
    let answer = client.check_products(checks).await.unwrap().into_inner().message().await.unwrap().unwrap();
    assert_eq!((answer.checked, answer.missing_uids.len()), (keys.len() as i64, 0));
    // Each stream of metrics breaks after its first one.
    let filter = Some(ProductMetricFilter { product_uids: keys.clone(), ..ProductMetricFilter::default() });
    let mut request = StreamProductMetricsRequest { page_size: 1, filter, ..StreamProductMetricsRequest::default() };
    let mut seen = Vec::new();
    loop {
        let mut stream = client.stream_product_metrics(request.clone()).await.unwrap().into_inner();
        let Some(page) = stream.message().await.unwrap() else { break };
        seen.extend(page.product_metrics.into_iter().map(|metric| metric.product_uid));
        request.resume_token = page.resume_token;
    }
    assert_eq!(seen, keys);

    let skip = |mode: WriteMode| WriteStart {
        mode: mode.into(),
        on_row_error: RowErrorPolicy::Skip.into(),
        ..WriteStart::default()
    };
    for key in &keys {
        assert_eq!(get(&server, key).await.name, "theirs");
        let named = |name: &str| Product { uid: key.clone(), name: name.to_owned(), ..Product::default() };
        assert_eq!(update(&server, named("one"), mask(&["name"])).await.name, "one");
        for (mode, name) in [(WriteMode::Update, "two"), (WriteMode::Upsert, "three")] {
            assert_eq!(write_with(&server, skip(mode), vec![named(name)]).await.updated, 1, "{mode:?} {key:?}");
        }
        let metric = |name: &str, value: &str| ProductMetric {
            product_uid: key.clone(),
            name: name.to_owned(),
            value: value.to_owned(),
            ..ProductMetric::default()
        };
        for (mode, value) in [(WriteMode::Update, "2"), (WriteMode::Upsert, "3")] {
            let rows = [metric(name_of(key), value)];
            let (totals, end) = write(server.channel(), METRICS, skip(mode), &rows).await;
            end.unwrap();
            assert_eq!(totals.counts(), [0, 1, 0, 0, 0], "{mode:?} {key:?}");
        }
        // Rows that do not exist are not created.
        let (totals, end) =
            write(server.channel(), METRICS, skip(WriteMode::Upsert), &[metric("not there", "1")]).await;
        end.unwrap();
        assert_eq!((totals.counts(), totals.errors[0].field.as_str()), ([0, 0, 0, 1, 0], "product_uid"));
        let request = GetProductMetricsRequest { product_uid: key.clone(), read_mask: None };
        let metrics = client.get_product_metrics(request).await.unwrap().into_inner().product_metrics;
        assert_eq!((metrics.len(), metrics[0].value.as_str()), (1, "3"));

        client.delete_product(DeleteProductRequest { uid: key.clone(), ..Default::default() }).await.unwrap();
        let product = Some(named("again"));
        let request = UpdateProductRequest {
            product: product.clone(),
            update_mask: None,
            allow_missing: false,
            ..UpdateProductRequest::default()
        };
        assert_eq!(client.update_product(request).await.unwrap_err().code(), Code::NotFound);
        let request =
            UpdateProductRequest { product, update_mask: None, allow_missing: true, ..UpdateProductRequest::default() };
        assert_eq!(client.update_product(request).await.unwrap_err().code(), Code::InvalidArgument);
        let answer = write_with(&server, skip(WriteMode::Upsert), vec![named("again")]).await;
        assert_eq!((answer.rejected, answer.row_errors[0].field.as_str()), (1, "uid"));
    }
    let left: i64 =
        sqlx::query_scalar("select count(*) from catalog.product_metric").fetch_one(&mut operator).await.unwrap();
    assert_eq!(left, 0, "metrics go with their product");
}
