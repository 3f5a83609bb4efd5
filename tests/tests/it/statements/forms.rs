//! The statements that a sharded database runs in place of others also run on a single server, and do the same there.
//! A row in the catalog of extensions makes a service take its database for a sharded one.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use orrery_proto::catalog::v1 as catalog;
use orrery_proto::orders::v1 as orders;
use orrery_proto::records::v1 as records;
use orrery_proto::records::v1::records_service_client::RecordsServiceClient;
use orrery_proto::records::v1::upload_document_request::start::Target;
use orrery_proto::r#type::v1::{ReferenceCheck, WriteMode, WriteStart};
use orrery_records::storage::DocumentsLocation;
use prost_types::value::Kind;
use tonic::Code;

use super::is_of_the_system;
use super::sharding::{breaches, spread_by};
use crate::documents::calls::{messages, start as start_upload};
use crate::documents::fixture::{PART, bytes};
use crate::harness::wire::WireLimits;
use crate::harness::{
    CatalogServer, OrdersServer, RecordsServer, Role, TestDatabase, order, order_uid, product, run, uid,
};
use crate::procedures::{Client as Procedures, text};
use crate::records::artifacts::{document, named};
use crate::shelves::contract::Stocktake;
use crate::shelves::{STOCKTAKES, Shelves};
use crate::writes::stream::{ORDERS, PRODUCTS, write};

async fn sharded() -> TestDatabase {
    let database = TestDatabase::limited(WireLimits::default()).await;
    run(
        &mut database.connect(Role::Operator).await,
        "insert into pg_catalog.pg_extension
             (oid, extname, extowner, extnamespace, extrelocatable, extversion, extconfig, extcondition)
         select 4000000000, 'citus', extowner, extnamespace, false, '13.0', null, null from pg_catalog.pg_extension
          where extname = 'plpgsql'",
    )
    .await;
    database.record_statements();
    database
}

/// The statements since the last look. They keep to what a sharded database runs.
fn statements(database: &TestDatabase) -> Vec<String> {
    let (all, tables) = (database.take_statements(), spread_by());
    for statement in all.iter().filter(|statement| !is_of_the_system(statement)) {
        let mut wrong = breaches(statement, &tables);
        // Due orders are looked for on all shards.
        if statement.contains("candidates as materialized") {
            wrong.retain(|breach| breach != "nothing says which uid of orders.order_header");
        }
        assert!(wrong.is_empty(), "{wrong:?}: {statement}");
    }
    all
}

fn start(mode: WriteMode) -> WriteStart {
    WriteStart { mode: mode.into(), ..WriteStart::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn products_are_written_alike() {
    let database = sharded().await;
    let server = CatalogServer::start(&database).await;
    let named = |number: usize, name: &str| catalog::Product { name: name.to_owned(), ..product(&uid(number)) };
    let rows = |name: &str| (1..=30).map(|number| named(number, name)).collect::<Vec<_>>();
    let expected = [("a", [30, 0, 0, 0, 0]), ("a", [0, 0, 30, 0, 0]), ("b", [0, 30, 0, 0, 0])];
    for (name, counts) in expected {
        let (totals, end) = write(server.channel(), PRODUCTS, start(WriteMode::Upsert), &rows(name)).await;
        end.unwrap();
        assert_eq!(totals.counts(), counts, "{name}");
    }
    let changed = catalog::UpdateProductRequest { product: Some(named(1, "c")), ..Default::default() };
    assert_eq!(server.client().update_product(changed).await.unwrap().into_inner().name, "c");
    let keys: Vec<catalog::Product> =
        rows("").into_iter().map(|product| catalog::Product { uid: product.uid, ..Default::default() }).collect();
    let (totals, end) = write(server.channel(), PRODUCTS, start(WriteMode::Delete), &keys).await;
    end.unwrap();
    assert_eq!(totals.deleted, 30);
    assert!(statements(&database).iter().any(|statement| statement.contains("set uid = t.uid")));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_owners_are_replaced_alike() {
    let slice = Shelves::on(sharded().await).await;
    let rows = |days: &[&str]| {
        let row = |(slot, day): (i32, &&str)| Stocktake {
            warehouse: "north".to_owned(),
            aisle: "a".to_owned(),
            slot,
            day: (*day).to_owned(),
            ..Stocktake::default()
        };
        (1..=10).flat_map(|slot| days.iter().map(move |day| (slot, day))).map(row).collect::<Vec<_>>()
    };
    let expected: [(&[&str], [i64; 4]); 4] = [
        (&["mon", "tue"], [20, 0, 0, 0]),
        (&["tue", "wed"], [10, 0, 10, 10]),
        (&["tue", "wed"], [0, 0, 20, 0]),
        (&[""], [0, 0, 0, 20]),
    ];
    for (days, counts) in expected {
        let (totals, end) = write(slice.channel(), STOCKTAKES, start(WriteMode::Replace), &rows(days)).await;
        end.unwrap();
        assert_eq!([totals.created, totals.updated, totals.unchanged, totals.deleted], counts, "{days:?}");
    }
    let statements = statements(&slice.database);
    assert!(statements.iter().any(|statement| statement.contains("insert into warehouse.owner_lock")));
    assert!(statements.iter().any(|statement| statement.contains("set warehouse = t.warehouse")));
}

#[tokio::test(flavor = "multi_thread")]
async fn due_orders_are_claimed_alike() {
    const COUNT: usize = 300;
    const CLAIMERS: usize = 8;
    let database = sharded().await;
    let server = OrdersServer::start(&database).await;
    let rows: Vec<orders::Order> = (1..=COUNT).map(|number| order(&order_uid(number))).collect();
    let (totals, end) = write(server.channel(), ORDERS, start(WriteMode::Upsert), &rows).await;
    end.unwrap();
    assert_eq!(totals.created, COUNT as i64);
    let due = "update orders.order_header
        set status = jsonb_build_object('phase', 'confirmed'), provision_timer_ts = now() - interval '1 hour'";
    run(&mut database.connect(Role::Operator).await, due).await;
    let claimers: Vec<_> = (0..CLAIMERS)
        .map(|_| {
            let mut client = server.separate_client();
            tokio::spawn(async move {
                let (mut claimed, mut empty) = (Vec::new(), 0);
                // Other claimers may be about to take all that one has picked.
                while empty < 10 {
                    let lease = Some(prost_types::Duration { seconds: 600, nanos: 0 });
                    let request = orders::ClaimDueOrdersRequest { limit: 7, lease, ..Default::default() };
                    let orders = client.claim_due_orders(request).await.unwrap().into_inner().orders;
                    empty = if orders.is_empty() { empty + 1 } else { 0 };
                    assert!(orders.len() <= 7 && orders.is_sorted_by_key(|order| order.uid.clone()));
                    claimed.extend(orders);
                    if empty > 0 {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                claimed
            })
        })
        .collect();
    let mut seen = HashSet::new();
    for claimer in claimers {
        for order in claimer.await.unwrap() {
            let status = order.status.unwrap();
            assert_eq!(status.phase, "provisioning");
            assert!(format!("{:?}", status.details).contains("claimed"), "{:?}", status.details);
            assert!(order.summary.is_some(), "{}", order.uid);
            assert!(seen.insert(order.uid.clone()), "{} was claimed twice", order.uid);
        }
    }
    assert_eq!(seen.len(), COUNT);
    assert!(statements(&database).iter().any(|statement| statement.contains("candidates as materialized")));
}

#[tokio::test]
async fn products_are_linked_and_uploads_given_up_alike() {
    let database = sharded().await;
    let folder = tempfile::tempdir().unwrap();
    let server = RecordsServer::start_with(&database, |config| {
        config.documents.location = DocumentsLocation::Folder(folder.path().to_owned());
    })
    .await;
    let mut client = RecordsServiceClient::new(server.channel());
    let create = records::CreateArtifactRequest { artifact: Some(named("mda_1", document("a"))), ..Default::default() };
    client.create_artifact(create).await.unwrap();
    let link = records::LinkProductsRequest {
        artifact_uid: "mda_1".to_owned(),
        product_uids: vec![uid(1), uid(2)],
        reference_check: ReferenceCheck::Accept.into(),
    };
    assert_eq!(client.link_products(link.clone()).await.unwrap().into_inner().linked, 2);
    assert_eq!(client.link_products(link).await.unwrap().into_inner().linked, 0);

    let (told, sent) = (bytes(PART + 10, 1), bytes(PART + 10, 2));
    let target = Some(Target::Artifact(named("mda_2", document("b"))));
    let start = records::upload_document_request::Start { target, ..start_upload("one", &told) };
    let refused = client.upload_document(messages(start, &sent, 0)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");

    let all = database.take_statements();
    let given_up = all.iter().find(|statement| statement.starts_with("delete from records.upload")).unwrap();
    assert!(!given_up.contains("now()"), "what is returned must be immutable: {given_up}");
    for lock in ["for key share", "for share"] {
        assert!(!all.iter().any(|statement| statement.contains(lock)), "locks of a reference table cannot be shared");
    }
    assert!(all.iter().any(|statement| statement.contains("macrodata_artifact") && statement.contains("for update")));
}

/// What statements over several shards do not hold; the same as for the statements of resources, and what only the
/// other forms of these statements have.
const NOT_OVER_SHARDS: [&str; 8] = [
    "lateral",
    "with recursive",
    "not exists (",
    "case jsonb_typeof(",
    "skip locked",
    "xmin",
    "clock_timestamp(",
    "full join",
];

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_found_alike() {
    let database = sharded().await;
    run(
        &mut database.connect(Role::Operator).await,
        "insert into orders.order_header (uid, currency_code) select 'ord_' || n, 'GBP' from generate_series(1, 9) n;
         insert into orders.order_line_item (order_uid, uid, line_number, product_uid)
         select 'ord_' || n, 'oli_' || n, 1, 'prd_' || n from generate_series(1, 12) n;
         insert into catalog.product (uid, name) select 'prd_' || n, 'p' from generate_series(1, 8) n;
         insert into orders.write_commit (resource, write_id, first_offset, row_count, row_hashes)
         values ('r', 'w', 0, 0, ''), ('r', 'w', 1, 0, '')",
    )
    .await;
    let elsewhere = TestDatabase::create().await;
    run(
        &mut elsewhere.connect(Role::Operator).await,
        "insert into catalog.product (uid, name) select 'prd_' || n, 'p' from generate_series(1, 8) n",
    )
    .await;
    let catalog = CatalogServer::start(&elsewhere).await;
    let server = OrdersServer::start_with(&database, |config| {
        config.catalog.address = catalog.address().to_string().parse().unwrap();
        config.service.procedures.procedure_workers = 1;
    })
    .await;
    let client = Procedures::of(server.channel());
    let grace = ("grace", text("0s"));
    let dry = client.numbers("detect_orphans", &[grace.clone(), ("dry_run", Kind::BoolValue(true))]).await;
    let of = |numbers: &BTreeMap<String, i64>| {
        ["order_line_item.product_uid", "order_line_item.order_uid", "write_commit.write_id"]
            .map(|relation| numbers[&format!("orders.{relation}")])
    };
    assert_eq!((of(&dry), dry["would_delete"]), ([4, 3, 1], 5), "{dry:?}");
    let orphans = client.orphans().await;
    let products: Vec<(&str, &str)> = orphans
        .iter()
        .filter(|orphan| orphan.relation == "orders.order_line_item.product_uid")
        .map(|orphan| (&*orphan.missing_uid, &*orphan.child_uid))
        .collect();
    assert_eq!(products, [("prd_10", "oli_10"), ("prd_11", "oli_11"), ("prd_12", "oli_12"), ("prd_9", "oli_9")]);
    let done = client.numbers("detect_orphans", &[grace]).await;
    assert_eq!((of(&done), done["deleted"]), ([4, 0, 0], 5), "{done:?}");
    let again = client.numbers("detect_orphans", &[("grace", text("0s"))]).await;
    assert_eq!(of(&again), [1, 0, 0], "the lines of orders that are gone went with them: {again:?}");
    let recorded = database.take_statements();
    assert!(recorded.iter().any(|statement| statement.contains("select distinct t.\"product_uid\" as v")));
    for statement in recorded.iter().filter(|statement| !is_of_the_system(statement)) {
        let found: Vec<&&str> = NOT_OVER_SHARDS.iter().filter(|text| statement.contains(**text)).collect();
        assert!(found.is_empty(), "{found:?}: {statement}");
    }
}
