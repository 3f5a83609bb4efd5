//! `orrery up`: the orders service calls the catalog of the same process, whatever its address.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use orrery_proto::catalog::v1::{CreateProductRequest, Product};
use orrery_proto::orders::v1::orders_service_client::OrdersServiceClient;
use orrery_proto::orders::v1::{CreateOrderRequest, LineItem, Order};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::fixture::bare;
use crate::harness::{program, refusal};

const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn orders_ask_the_catalog_that_is_served_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    // Accessible to the account that runs Postgres.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut up = Command::new(program("orrery"))
        .args(["up", "--catalog=127.0.0.1:0", "--orders=127.0.0.1:0", "--records=127.0.0.1:0", "--data-dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .env_remove("DATABASE_URL")
        // The setting of a separate service does not apply here.
        .env("CATALOG", "127.0.0.1:1")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    let mut addresses = HashMap::new();
    let listen = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((name, address)) = line.split_once(" is healthy on ") {
                addresses.insert(name.trim().to_owned(), format!("http://{address}"));
            } else if line.contains("Ctrl-C stops everything") {
                return;
            }
        }
        unreachable!("it ended before it served");
    };
    tokio::time::timeout(TIMEOUT, listen).await.unwrap();

    let mut catalog = CatalogServiceClient::connect(addresses["catalog"].clone()).await.unwrap();
    let product = Product { uid: "prd_1".to_owned(), name: "One".to_owned(), ..Product::default() };
    catalog
        .create_product(CreateProductRequest { product: Some(product), ..CreateProductRequest::default() })
        .await
        .unwrap();
    let mut orders = OrdersServiceClient::connect(addresses["orders"].clone()).await.unwrap();
    let create = |number: &str, product: &str| {
        let line = LineItem { product_uid: product.to_owned(), quantity: 1, ..LineItem::default() };
        let order = Some(Order { line_items: vec![line], ..bare(number) });
        CreateOrderRequest { order, ..CreateOrderRequest::default() }
    };
    orders.create_order(create("1", "prd_1")).await.unwrap();
    let refused = orders.create_order(create("2", "prd_2")).await.unwrap_err();
    assert_eq!(refusal(&refused).reason, "REFERENCE_MISSING");

    kill(Pid::from_raw(up.id().unwrap().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(tokio::time::timeout(TIMEOUT, up.wait()).await.unwrap().unwrap().success());
}
