//! What an enemy does, or a careless client, on the port that everybody uses: with frames that no library would send.
//! In each test another caller goes on as if nothing were, and the process's memory is looked at.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::panic,
    reason = "a test stops at the first surprise, and counts are exact"
)]

mod bodies;
mod connections;
mod places;
mod protocol;

use std::net::SocketAddr;

use crate::harness::admin::Admin;
use crate::harness::{Bystander, CatalogProcess, Role, TestDatabase, seed};

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

/// A catalog as a process, with some products, and another caller of it.
struct Target {
    database: TestDatabase,
    process: CatalogProcess,
    bystander: Bystander,
    /// Its memory at the beginning, in bytes.
    before: u64,
}

impl Target {
    async fn start(arguments: &[&str]) -> Self {
        Self::start_with_files(arguments, None).await
    }

    /// The same, as a process that may have so many files open.
    async fn start_with_files(arguments: &[&str], files: Option<u32>) -> Self {
        let database = TestDatabase::create().await;
        seed(&mut database.connect(Role::Operator).await, PRODUCTS).await;
        let process = CatalogProcess::spawn_with_files(&database, arguments, files).await;
        let bystander = Bystander::start(process.address(), PRODUCTS).await;
        let before = process.memory();
        Self { database, process, bystander, before }
    }

    fn address(&self) -> SocketAddr {
        self.process.address()
    }

    fn admin(&self) -> Admin {
        self.process.admin()
    }

    /// The other caller has noticed nothing so far.
    async fn assert_unharmed(&mut self, during: &str) {
        let next = Bystander::start(self.address(), PRODUCTS).await;
        std::mem::replace(&mut self.bystander, next).assert_unharmed(during).await;
    }

    /// The same at the end, and the memory that it took beyond what there was is less than `most` bytes.
    async fn end(self, during: &str, most: u64) {
        self.bystander.assert_unharmed(during).await;
        let (before, peak) = (self.before, self.process.peak_memory());
        println!("{during}: {} MiB of memory before, {} MiB at most", before / MIB, peak / MIB);
        assert!(peak < before + most, "{during}: from {} to {} MiB", before / MIB, peak / MIB);
    }
}
