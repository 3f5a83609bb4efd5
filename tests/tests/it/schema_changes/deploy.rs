//! `orrery migrate deploy`: what it refuses, shows, applies and records, and that traffic goes on meanwhile.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use orrery_proto::catalog::v1::{GetProductRequest, ListProductsRequest, Product, UpdateProductRequest};

use super::fixture::{Fixture, SHADE, SHADE_INDEX, versions};
use crate::harness::CatalogServer;
use crate::harness::operator::{ended, orrery};
use crate::migrations::run;

#[tokio::test]
async fn pending_migrations_are_shown_applied_and_recorded_together() {
    let mut fixture = Fixture::new(&[SHADE, SHADE_INDEX]).await;
    let told = fixture.deploy().await;
    for expected in [
        "Migrations to deploy: 2\n  29990101000000_add_shade.sql\n  29990101000001_index_shade.sql\n",
        "alter table catalog.product add column shade text",
        "product_shade_idx",
        "add_shade.sql\n",
        ": 2 migrations\n",
    ] {
        assert!(told.contains(expected), "{expected:?} is not in {told}");
    }
    assert_eq!(fixture.deployments().await, [(versions(&[SHADE, SHADE_INDEX]), "deployed".to_owned())]);
    assert!(fixture.columns().await.contains(&"shade".to_owned()));
    assert_eq!(fixture.branches().await, 0);
    assert_eq!(fixture.deploy().await, "Nothing to deploy\n");
    // dbmate's ledger is the same.
    let result = fixture.migrate("status --exit-code").await;
    assert_eq!(result.code, Some(0), "{result:?}");
}

#[tokio::test]
async fn what_fails_a_step_is_refused_and_nothing_is_changed() {
    let mut fixture = Fixture::new(&[SHADE]).await;
    let result = fixture.refused("deploy").await;
    assert!(result.stderr.contains("agree with --yes"), "{result:?}");
    assert!(result.stdout.contains("add column shade"), "the difference is shown: {result:?}");

    let blocking = (
        "29990101000002_index.sql",
        "-- migrate:up\ncreate index i on catalog.product (shade);\n-- migrate:down\ndrop index catalog.i;\n",
    );
    fixture.add(blocking.0, blocking.1);
    let result = fixture.refused("deploy --yes").await;
    assert!(result.stderr.contains("29990101000002_index.sql:2: "), "{result:?}");

    let text = "-- migrate:up\nalter table catalog.product add column tint text, add column hue text;\n\
                -- migrate:down\nalter table catalog.product drop column tint;\n";
    fixture.add(blocking.0, text);
    let result = fixture.refused("deploy --yes").await;
    assert!(result.stderr.contains("does not restore the schema"), "{result:?}");
    assert!(result.stderr.contains("add column hue"), "{result:?}");

    let text = "-- migrate:up\nalter table catalog.product add column tint nonsense;\n\
                -- migrate:down\nalter table catalog.product drop column tint;\n";
    fixture.add(blocking.0, text);
    let result = fixture.refused("deploy --yes").await;
    assert!(result.stderr.contains("29990101000002_index.sql:2: type \"nonsense\" does not exist"), "{result:?}");

    std::fs::remove_file(fixture.folder.path().join(blocking.0)).unwrap();
    fixture.deploy().await;
}

/// Killed at any moment, the next run says what it found and finishes.
#[tokio::test]
async fn a_deployment_that_is_killed_again_and_again_finishes() {
    let mut fixture = Fixture::new(&[SHADE, SHADE_INDEX]).await;
    let mut told = String::new();
    for round in 0_i32.. {
        assert!(round < 50, "{told}");
        let arguments = fixture.arguments("deploy --yes");
        let mut child = orrery(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).spawn().unwrap();
        // Later and later, until the machine is fast enough.
        tokio::time::sleep(Duration::from_millis(100).mul_f64(1.15_f64.powi(round))).await;
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
        }
        let result = ended(child).await;
        told.push_str(&result.stdout);
        if result.code == Some(0) {
            break;
        }
        // A session of the killed run may still hold the branch for a moment.
        assert!(result.code.is_none() || result.stderr.contains("branch"), "{result:?}");
    }
    assert_eq!(fixture.branches().await, 0);
    assert_eq!(fixture.deployments().await, [(versions(&[SHADE, SHADE_INDEX]), "deployed".to_owned())]);
    let valid: bool = sqlx::query_scalar("select indisvalid from pg_index where indexrelid = $1::regclass")
        .bind("catalog.product_shade_idx")
        .fetch_one(&mut fixture.operator)
        .await
        .unwrap();
    assert!(valid);
    assert!(told.contains("Dropped the branch deploy of a run that was interrupted"), "{told}");
}

/// What callers saw: the slowest hundredth, in milliseconds, and how many calls there were.
async fn load(server: &CatalogServer, stop: Arc<AtomicBool>) -> (f64, usize) {
    let callers = (0..8).map(|caller| {
        let (mut client, stop) = (server.separate_client(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut taken = Vec::new();
            for round in 0_usize.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let uid = format!("prd_{:07}", (round * 7_919 + caller * 104_729) % 20_000);
                let begun = Instant::now();
                match round % 3 {
                    0 => {
                        let request = GetProductRequest { uid, ..GetProductRequest::default() };
                        client.get_product(request).await.map(drop).unwrap();
                    }
                    1 => {
                        let product = Product { uid, name: format!("{round}"), ..Product::default() };
                        let update_mask = Some(prost_types::FieldMask { paths: vec!["name".to_owned()] });
                        let request = UpdateProductRequest {
                            product: Some(product),
                            update_mask,
                            ..UpdateProductRequest::default()
                        };
                        client.update_product(request).await.map(drop).unwrap();
                    }
                    _ => {
                        let request = ListProductsRequest { page_size: 20, ..ListProductsRequest::default() };
                        client.list_products(request).await.map(drop).unwrap();
                    }
                }
                taken.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            taken
        })
    });
    let mut taken = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        taken.extend(caller.await.unwrap());
    }
    taken.sort_by(f64::total_cmp);
    (taken[taken.len() * 99 / 100], taken.len())
}

/// A column, an index, a wider check and a rename by expand and contract, under reads and writes. The benchmark says
/// how much slower calls become.
#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_while_migrations_are_deployed() {
    let widen = (
        "29990101000003_widen_check.sql",
        "-- migrate:up\n\
         alter table catalog.product add constraint product_shade_wide_check check (shade <> '') not valid;\n\
         -- lint: allow ban-drop-constraint: the wider check has taken its place\n\
         alter table catalog.product drop constraint product_shade_check;\n\n\
         -- migrate:down\n\
         alter table catalog.product add constraint product_shade_check check (shade in ('none', 'dark')) not valid;\n\
         alter table catalog.product drop constraint product_shade_wide_check;\n",
    );
    let mut fixture = Fixture::new(&[]).await;
    let rows = "insert into catalog.product (uid, name)
                select 'prd_' || lpad(n::text, 7, '0'), 'Product ' || n from generate_series(0, 19999) as n";
    run(&mut fixture.operator, rows).await;
    let server = CatalogServer::start(&fixture.database).await;
    let during = |stop: &Arc<AtomicBool>| load(&server, Arc::clone(stop));
    let stop = Arc::new(AtomicBool::new(false));
    let ((before, calls), ()) = tokio::join!(during(&stop), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        stop.store(true, Ordering::Relaxed);
    });
    fixture.add(SHADE.0, SHADE.1);
    fixture.add(SHADE_INDEX.0, SHADE_INDEX.1);
    let check = (
        "29990101000002_check_shade.sql",
        "-- migrate:up\n\
         alter table catalog.product add constraint product_shade_check\n\
             check (shade in ('none', 'dark')) not valid;\n\n\
         -- migrate:down\n\
         alter table catalog.product drop constraint product_shade_check;\n",
    );
    fixture.add(check.0, check.1);
    fixture.add(widen.0, widen.1);
    let stop = Arc::new(AtomicBool::new(false));
    let ((slowest, more), deployed) = tokio::join!(during(&stop), async {
        let deployed = fixture.migrate("deploy --yes").await;
        stop.store(true, Ordering::Relaxed);
        deployed
    });
    println!("p99 of {calls} calls before: {before:.1} ms; of {more} calls during the deployment: {slowest:.1} ms");
    assert!(deployed.code == Some(0) && deployed.stdout.contains(": 4 migrations"), "{deployed:?}");
    assert!(calls > 100 && more > 100);
}
