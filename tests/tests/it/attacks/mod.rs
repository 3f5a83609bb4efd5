//! Attackers and faulty clients on the public port, with frames that no library would send. In each test another client
//! must not be affected, and the process's memory is checked.

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

/// A catalog process with some products, and another client of it.
struct Target {
    database: TestDatabase,
    process: CatalogProcess,
    bystander: Bystander,
    /// Its memory at the start in bytes.
    before: u64,
}

impl Target {
    async fn start(arguments: &[&str]) -> Self {
        Self::start_with_files(arguments, None).await
    }

    /// The same with a limit on open files.
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

    /// Checks that the other client was not affected so far.
    async fn assert_unharmed(&mut self, during: &str) {
        let next = Bystander::start(self.address(), PRODUCTS).await;
        std::mem::replace(&mut self.bystander, next).assert_unharmed(during).await;
    }

    /// Checks at the end that the other client was not affected, and that memory has grown by less than `most` bytes.
    async fn end(self, during: &str, most: u64) {
        self.bystander.assert_unharmed(during).await;
        let (before, peak) = (self.before, self.process.peak_memory());
        println!("{during}: {} MiB of memory before, {} MiB at most", before / MIB, peak / MIB);
        assert!(peak < before + most, "{during}: from {} to {} MiB", before / MIB, peak / MIB);
    }
}
