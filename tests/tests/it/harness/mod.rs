//! Support for the tests.
//!
//! - [`TestDatabase::create`]: a migrated database for each test, created in milliseconds on a server that all tests
//!   share.
//! - [`Postgres::own`]: a separate server, for tests that pause, kill or restart it.
//! - [`StandbyServer::of`]: a streaming replica of such a server.
//! - [`CatalogServer::start`]: the catalog service in this process, and clients for it.
//! - [`OrdersServer::start`]: the orders service in this process, and clients for it.
//! - [`RecordsServer::start`]: the records service in this process, and clients for it.
//! - [`CatalogProcess::spawn`], [`OrdersProcess::spawn`], [`RecordsProcess::spawn`]: services as processes that can be killed and restarted.
//! - [`route`]: how services reach their database; by default through [`wire`], which enforces the limits of a managed
//!   Postgres.
//! - [`TestDatabase::pooled`]: a database that services reach through PgBouncer in transaction mode.
//! - [`s3`] and [`s3_proxy`]: a server with S3's interface, and a proxy in front of it that records and fails requests.
//! - [`until_waiting`]: waits until a call waits for a lock that the test holds.
//! - [`Bystander`]: a client that must not be affected by other calls.
//! - [`program`]: the path of a built program; [`operator::run`]: runs `orrery` to its end.
//!
//! Servers end with the test process, whatever ends it, and their files are removed.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, and not every test uses everything"
)]

pub(crate) mod admin;
pub(crate) mod blackhole;
mod bystander;
mod catalog;
pub(crate) mod contract;
mod database;
pub(crate) mod frames;
pub(crate) mod http2;
pub(crate) mod operator;
mod orders;
pub(crate) mod plan;
pub(crate) mod pooler;
mod postgres;
mod process;
mod products;
mod programs;
pub(crate) mod proxy;
pub(crate) mod raw;
mod records;
mod refusal;
mod replica;
mod route;
pub(crate) mod s3;
pub(crate) mod s3_proxy;
mod serving;
mod sessions;
pub(crate) mod timed;
pub(crate) mod values;
mod waiting;
mod watchdog;
pub(crate) mod wire;

pub(crate) use bystander::Bystander;
pub(crate) use catalog::{CatalogProcess, CatalogServer};
pub(crate) use database::TestDatabase;
pub(crate) use orders::{OrdersProcess, OrdersServer, line, order, order_uid, status};
pub(crate) use orrery::cluster::Role;
pub(crate) use pooler::Pooler;
pub(crate) use postgres::Postgres;
pub(crate) use process::ServiceProcess;
pub(crate) use products::{metric, product, run, seed, timestamp, uid, uids};
pub(crate) use programs::program;
pub(crate) use records::{RecordsProcess, RecordsServer, product_tag, tag, tag_uid};
pub(crate) use refusal::{assert_invalid, refusal};
pub(crate) use replica::StandbyServer;
pub(crate) use route::Route;
pub(crate) use serving::{LARGEST_MESSAGE, accepting, until_healthy};
pub(crate) use sessions::until_no_session;
pub(crate) use waiting::{until_waiting, until_waiting_or, waiting};
