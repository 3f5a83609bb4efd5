//! How the catalog is read: by an index if that is enough, and else once, page by page, until nobody waits any more.

use std::time::Duration;

use orrery_proto::catalog::v1::{MatchKind, ResolveProductsRequest, ResolvedProduct};

use super::{insert, outcome, request, resolve};
use crate::harness::plan::{Log, explain, indexes, node_types, pages};
use crate::harness::wire::WireLimits;
use crate::harness::{CatalogServer, Role, TestDatabase, run, seed, uid};

/// The limit for any wait.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How many statements read names by an index, and how many read a page of all names.
fn counted(statements: &[String]) -> (usize, usize) {
    let reads = statements.iter().filter(|statement| statement.contains("from catalog.product"));
    let (exact, all): (Vec<&String>, Vec<&String>) = reads.partition(|statement| statement.contains("= any ("));
    (exact.len(), all.len())
}

/// A service with a catalog of `rows` products, whose statements are recorded, and which reads small pages.
async fn recorded(rows: usize) -> (TestDatabase, CatalogServer) {
    let database = TestDatabase::limited(WireLimits::default()).await;
    seed(&mut database.connect(Role::Operator).await, rows).await;
    database.record_statements();
    let server = CatalogServer::start_with(&database, |config| config.stream.page_bytes = 16 << 10).await;
    database.take_statements();
    (database, server)
}

#[tokio::test]
async fn names_that_exist_are_read_by_their_index_and_no_others() {
    let (database, server) = recorded(20_000).await;
    let names: Vec<String> = (1..=1_000).map(|number| format!("Thing {}", number * 20)).collect();
    let resolutions = resolve(&server, ResolveProductsRequest { names, ..Default::default() }).await;
    for (number, resolution) in (1..=1_000).zip(&resolutions) {
        let uid = uid(number * 20);
        assert_eq!(outcome(resolution), (MatchKind::Exact, uid.as_str(), vec![uid.as_str()]));
    }
    let (exact, all) = counted(&database.take_statements());
    assert!((1..=8).contains(&exact) && all == 0, "{exact} and {all} statements");
}

#[tokio::test]
async fn all_pages_are_compared_once_for_all_names() {
    let (database, server) = recorded(20_000).await;
    let numbers = [1, 2, 9_999, 10_000, 19_999, 20_000];
    let names: Vec<String> =
        numbers.iter().flat_map(|number| [format!("THING {number}"), format!("Thingy {number}")]).collect();
    let request = ResolveProductsRequest { names, min_score: Some(0.85), ..Default::default() };
    let resolutions = resolve(&server, request).await;
    for (number, pair) in numbers.iter().zip(resolutions.chunks(2)) {
        let uid = uid(*number);
        assert_eq!(outcome(&pair[0]), (MatchKind::Normalized, uid.as_str(), vec![uid.as_str()]));
        assert_eq!(outcome(&pair[1]), (MatchKind::Similar, uid.as_str(), vec![uid.as_str()]));
    }
    let (exact, all) = counted(&database.take_statements());
    // Some 40 bytes a row, 16 KiB a page.
    assert!(exact == 1 && (20..200).contains(&all), "{exact} and {all} statements");
}

#[tokio::test]
async fn a_name_that_very_many_products_have_hides_no_other() {
    let (database, server) = recorded(0).await;
    let mut operator = database.connect(Role::Operator).await;
    // As long as what the index has of a name, so that all these have one key.
    let long = "z".repeat(128);
    run(
        &mut operator,
        &format!(
            "insert into catalog.product (uid, name) select 'prd_' || n, \
             case when n <= 3500 then 'Many' when n <= 7000 then '{long}' || n % 2 else 'Name ' || n end \
             from generate_series(1000, 8000) n"
        ),
    )
    .await;
    let many = ["Many", &format!("{long}0"), &format!("{long}1"), &format!("{long}2"), "Name 8000", "Aardvark"];
    let resolutions = resolve(&server, request(&many)).await;
    let kinds: Vec<MatchKind> = resolutions.iter().map(ResolvedProduct::r#match).collect();
    let tie = MatchKind::Ambiguous;
    assert_eq!(kinds, [tie, tie, tie, MatchKind::None, MatchKind::Exact, MatchKind::None]);
    assert_eq!(outcome(&resolutions[0]).2, ["prd_1000", "prd_1001", "prd_1002", "prd_1003", "prd_1004"]);
    assert_eq!(outcome(&resolutions[1]).2, ["prd_3502", "prd_3504", "prd_3506", "prd_3508", "prd_3510"]);
    assert_eq!(outcome(&resolutions[2]).2, ["prd_3501", "prd_3503", "prd_3505", "prd_3507", "prd_3509"]);
    assert_eq!(resolutions[4].product_uid, "prd_8000");
    let (exact, _) = counted(&database.take_statements());
    assert!((2..=6).contains(&exact), "{exact} statements");
}

#[tokio::test]
async fn a_name_that_is_slow_to_find_by_the_index_is_found_with_the_others() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    // The index has all of them under one key, and the phase is looked up in each row.
    run(
        &mut operator,
        "insert into catalog.product (uid, name, status) \
         select 'prd_' || lpad(n::text, 7, '0'), repeat('Same ', 100), \
                jsonb_build_object('phase', case when n in (1, 99999, 100000) then 'rare' else 'usual' end) \
         from generate_series(1, 100000) n; \
         drop index catalog.product_phase_idx; analyze catalog.product",
    )
    .await;
    let server =
        CatalogServer::start_with(&database, |config| config.stream.progress_interval = Duration::from_millis(20))
            .await;
    let same = "Same ".repeat(100);
    let request = ResolveProductsRequest { phases: vec!["rare".to_owned()], ..request(&[&same, &same.to_lowercase()]) };
    for resolution in resolve(&server, request).await {
        let uids = vec!["prd_0000001", "prd_0099999", "prd_0100000"];
        assert_eq!(outcome(&resolution), (MatchKind::Ambiguous, "", uids), "{:.20}", resolution.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_for_a_call_that_was_given_up() {
    let (database, server) = recorded(200_000).await;
    let mut client = server.client();
    let call = tokio::spawn(async move { client.resolve_products(request(&["Nothing of that name"])).await });
    let mut seen = 0;
    let begun = async {
        while seen < 20 {
            seen += counted(&database.take_statements()).1;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, begun).await.unwrap();
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    // Until none comes any more.
    let ended = async {
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            match counted(&database.take_statements()).1 {
                0 => break,
                more => seen += more,
            }
        }
    };
    tokio::time::timeout(TIMEOUT, ended).await.unwrap();
    // Some 40 bytes a row, 16 KiB a page: all rows would have taken 500 statements.
    assert!((20..400).contains(&seen), "{seen} statements");
}

#[tokio::test]
async fn a_page_that_is_refused_for_its_size_is_read_in_smaller_ones() {
    let database = TestDatabase::limited(WireLimits { result_bytes: 8_000, ..WireLimits::default() }).await;
    let mut operator = database.connect(Role::Operator).await;
    let long = "wide ".repeat(400);
    let wide: Vec<String> = (1..=6).map(|number| format!("prd_wide{number}")).collect();
    insert(&mut operator, &wide.iter().map(|uid| (uid.as_str(), Some(long.as_str()))).collect::<Vec<_>>()).await;
    seed(&mut operator, 3_000).await;
    let server = CatalogServer::start(&database).await;
    let names: Vec<String> = (1..=500).map(|number| format!("Thing {}", 6 * number)).collect();
    let names = names.iter().map(String::as_str).chain(["THING 1", "THING 2999", &long]).collect::<Vec<_>>();
    let resolutions = resolve(&server, request(&names)).await;
    let (wides, things) = resolutions.split_last().unwrap();
    assert_eq!(outcome(wides), (MatchKind::Ambiguous, "", wide[..5].iter().map(String::as_str).collect()));
    assert!(things.iter().all(|resolution| !resolution.product_uid.is_empty()), "{things:?}");
    let refused: Vec<String> = database.take_violations().into_iter().map(|violation| violation.statement).collect();
    let (exact, all) = counted(&refused);
    assert!(exact > 0 && all > 0, "{refused:?}");
}

#[tokio::test]
async fn names_are_found_by_the_index_and_all_are_read_in_the_order_of_the_key() {
    let database = Log::server().await.create_database().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 100_000).await;
    let server = CatalogServer::start(&database).await;
    let mut log = Log::new(&mut operator, Role::Catalog).await;
    let names: Vec<String> = (1..=200).map(|number| format!("Thing {}", number * 500)).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.push("THING 1");
    for analyzed in [false, true] {
        if analyzed {
            run(&mut operator, "analyze catalog.product").await;
        }
        resolve(&server, request(&names)).await;
        let selects = log.selects(&mut operator).await;
        assert!(selects.len() > 5, "{} selects", selects.len());
        let plan = explain(&mut operator, &selects[0]).await;
        assert_eq!(indexes(&plan), ["product_name_idx"], "analyzed: {analyzed}: {plan:#}");
        assert!(pages(&plan) < 2_000, "{} pages: {plan:#}", pages(&plan));
        for select in [&selects[2], &selects[selects.len() - 2]] {
            let plan = explain(&mut operator, select).await;
            assert_eq!(indexes(&plan), ["product_pkey"], "analyzed: {analyzed}: {plan:#}");
            assert!(!node_types(&plan).iter().any(|node| node.contains("Sort")), "{plan:#}");
        }
    }
}
