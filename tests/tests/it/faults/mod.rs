//! Servers that are killed, paused and restarted: acknowledged data is there, and health is correct.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod blackhole;
mod load;

use std::time::Duration;

use orrery_proto::catalog::v1::{CreateProductRequest, GetProductRequest, Product};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{CatalogProcess, CatalogServer, Postgres, TestDatabase};

fn product(uid: &str) -> CreateProductRequest {
    let product = Product { uid: uid.to_owned(), name: "Brass orrery".to_owned(), ..Product::default() };
    CreateProductRequest { product: Some(product), ..CreateProductRequest::default() }
}

fn get(uid: &str) -> GetProductRequest {
    GetProductRequest { uid: uid.to_owned(), ..GetProductRequest::default() }
}

async fn until_health_is(channel: Channel, wanted: ServingStatus) {
    let wait = async {
        loop {
            let answer = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await;
            if answer.unwrap().into_inner().status() == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("health follows the database");
}

#[tokio::test]
async fn a_killed_service_has_kept_what_it_acknowledged() {
    let database = TestDatabase::create().await;
    let mut process = CatalogProcess::spawn(&database).await;
    process.client().create_product(product("prd_a")).await.unwrap();
    process.restart().await;
    let found = process.client().get_product(get("prd_a")).await.unwrap().into_inner();
    assert_eq!(found.name, "Brass orrery");
}

#[tokio::test]
async fn a_killed_database_has_kept_what_was_acknowledged_and_the_service_finds_it_again() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    let server = CatalogServer::start(&database).await;
    server.client().create_product(product("prd_a")).await.unwrap();

    postgres.kill().await;
    until_health_is(server.channel(), ServingStatus::NotServing).await;
    postgres.restart().await;
    until_health_is(server.channel(), ServingStatus::Serving).await;
    let found = server.client().get_product(get("prd_a")).await.unwrap().into_inner();
    assert_eq!(found.uid, "prd_a");

    postgres.pause();
    until_health_is(server.channel(), ServingStatus::NotServing).await;
    postgres.resume();
    until_health_is(server.channel(), ServingStatus::Serving).await;
    server.stop().await.unwrap();
}
