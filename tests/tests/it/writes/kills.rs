//! Services and the database are killed in the middle of writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use orrery_proto::r#type::v1::WriteStart;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::stream::{PRODUCTS, product};
use super::workload::{ORDER_KIND, PRODUCT_KIND, seed, write_on};
use crate::harness::{CatalogProcess, CatalogServer, OrdersProcess, Postgres, Role};

const WRITERS: usize = 3;

/// Services and their database, killed at random.
struct Killed {
    catalog: CatalogProcess,
    orders: OrdersProcess,
    postgres: Postgres,
    random: StdRng,
}

impl Killed {
    /// Kills one of them with SIGKILL and restarts it, and returns which.
    async fn kill(&mut self) -> &'static str {
        match self.random.random_range(0..4) {
            0 => {
                self.catalog.restart().await;
                "catalog"
            }
            1 => {
                self.orders.restart().await;
                "orders"
            }
            2 => {
                self.postgres.kill().await;
                self.pause(0..500).await;
                self.postgres.restart().await;
                "Postgres"
            }
            // At once, so that no process is left that knows what was committed.
            _ => {
                self.postgres.kill().await;
                self.catalog.kill();
                self.orders.kill();
                self.postgres.restart().await;
                self.catalog.start().await;
                self.orders.start().await;
                "everything"
            }
        }
    }

    async fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        tokio::time::sleep(Duration::from_millis(self.random.random_range(milliseconds))).await;
    }
}

/// Writers of products and orders, while services and database are killed, for this long.
async fn nothing_acknowledged_is_lost(long: Duration) {
    let seed = seed();
    // Commits must survive when all processes of the server are killed; the machine keeps running.
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    let patience = ["--database-acquire-timeout=500ms"];
    let catalog = CatalogProcess::spawn_with(&database, &patience).await;
    let orders = OrdersProcess::spawn_with(&database, &patience).await;
    let places = [(PRODUCT_KIND, catalog.address()), (ORDER_KIND, orders.address())];
    let mut killed = Killed { catalog, orders, postgres, random: StdRng::seed_from_u64(seed) };
    let enough = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for (kind, address) in places {
        for writer in 0..WRITERS {
            writers.push((address, tokio::spawn(write_on(kind, writer, seed, address, Arc::clone(&enough)))));
        }
    }
    let begun = Instant::now();
    let mut kills = Vec::new();
    while begun.elapsed() < long {
        killed.pause(50..900).await;
        kills.push(killed.kill().await);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    enough.store(true, Ordering::Relaxed);
    println!("killed: {}", kills.join(", "));
    let mut connection = database.connect(Role::Operator).await;
    for (address, writer) in writers {
        let progress = tokio::time::timeout(Duration::from_secs(60), writer).await.unwrap().unwrap();
        assert!(!progress.broken.is_empty(), "the kills were noticed");
        assert!(progress.acknowledged > 0);
        progress.assert_whole(address, &mut connection).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_whoever_is_killed() {
    nothing_acknowledged_is_lost(Duration::from_secs(15)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: run by .ci/run"]
async fn nothing_acknowledged_is_lost_whoever_is_killed_for_minutes() {
    nothing_acknowledged_is_lost(Duration::from_secs(90)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_is_unavailable_for_a_moment_and_the_write_goes_on() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    let server = CatalogServer::start_with(&database, |config| {
        config.database.database_acquire_timeout = Duration::from_millis(300);
    })
    .await;
    let enough = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write_on(PRODUCT_KIND, writer, 0, server.address(), Arc::clone(&enough))))
        .collect();
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        if round == 1 {
            postgres.stop().await;
        } else {
            postgres.kill().await;
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        postgres.restart().await;
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    enough.store(true, Ordering::Relaxed);
    let mut connection = database.connect(Role::Operator).await;
    for writer in writers {
        let progress = tokio::time::timeout(Duration::from_secs(30), writer).await.unwrap().unwrap();
        assert!(progress.broken.len() >= 3, "{:?}", progress.broken);
        for status in &progress.broken {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            let info = status.get_details_error_info().unwrap();
            assert_eq!(info.reason, "DATABASE_UNAVAILABLE", "{status:?}");
            assert!(status.get_details_retry_info().is_some(), "{status:?}");
            assert!(!status.message().contains("127.0.0.1") && !status.message().contains("select"), "{status:?}");
        }
        assert!(progress.acknowledged > 0);
        progress.assert_whole(server.address(), &mut connection).await;
    }
}

/// Connections that were closed while idle are replaced, and clients do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_write_after_a_restart_of_the_database_succeeds() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    let server = CatalogServer::start(&database).await;
    for (round, kill) in [true, false].into_iter().enumerate() {
        // Many at once, so that the pool has many idle connections.
        let many = (0..12).map(|writer| {
            let channel = server.channel();
            async move {
                let rows = [product(&format!("{round}-{writer}"), "before")];
                super::stream::write(channel, PRODUCTS, WriteStart::default(), &rows).await.1.unwrap();
            }
        });
        futures::future::join_all(many).await;
        if kill {
            postgres.kill().await;
        } else {
            postgres.stop().await;
        }
        postgres.restart().await;
        let rows = [product(&format!("{round}"), "after")];
        let (totals, end) = super::stream::write(server.channel(), PRODUCTS, WriteStart::default(), &rows).await;
        end.unwrap();
        assert_eq!(totals.created, 1);
    }
}
