//! What an enemy does, or a careless client, on the port that everybody uses: with frames that no library would send. In
//! each test another caller goes on as if nothing were, and the process's memory is looked at.

mod bodies;
mod connections;
mod places;
mod protocol;

use crate::harness::{CatalogProcess, Role, TestDatabase, seed};

const GET: &str = "/orrery.catalog.v1.CatalogService/GetProduct";
const LIST: &str = "/orrery.catalog.v1.CatalogService/ListProducts";
const STREAM: &str = "/orrery.catalog.v1.CatalogService/StreamProducts";
const WRITE: &str = "/orrery.catalog.v1.CatalogService/WriteProducts";
const CREATE: &str = "/orrery.catalog.v1.CatalogService/CreateProduct";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

const PRODUCTS: usize = 2_000;
const MIB: u64 = 1 << 20;

/// A catalog as a process, with some products.
async fn catalog(arguments: &[&str]) -> (TestDatabase, CatalogProcess) {
    let database = TestDatabase::create().await;
    seed(&mut database.connect(Role::Operator).await, PRODUCTS).await;
    let process = CatalogProcess::spawn_with(&database, arguments).await;
    (database, process)
}

/// Prints and bounds the memory that a test cost.
fn assert_memory(process: &CatalogProcess, before: u64, most: u64, during: &str) {
    let peak = process.peak_memory();
    println!("{during}: {} MiB of memory before, {} MiB at most", before / MIB, peak / MIB);
    assert!(peak < before + most, "{during}: from {} to {} MiB", before / MIB, peak / MIB);
}
