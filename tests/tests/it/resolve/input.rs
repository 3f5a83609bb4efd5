//! Bad input, and the sizes of requests and answers.

use orrery_proto::catalog::v1::{MatchKind, ResolveProductsRequest};
use tonic::Code;

use super::{outcome, request, resolve, shop};
use crate::harness::{CatalogServer, Role, TestDatabase, accepting, assert_invalid, refusal, run};

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_its_field() {
    let (_database, _operator, server) = shop(&[("prd_mug", "Mug")]).await;
    let many = |count: usize| vec!["Mug"; count];
    let longest = "x".repeat(2_048);
    let with_score = |min_score: f64| ResolveProductsRequest { min_score: Some(min_score), ..request(&["Mug"]) };
    let with_phases = |phases: Vec<String>| ResolveProductsRequest { phases, ..request(&["Mug"]) };
    for (request, field) in [
        (request(&[]), "names"),
        (request(&many(1_001)), "names"),
        (request(&["Mug", ""]), "names[1]"),
        (request(&["a\0b"]), "names[0]"),
        (request(&["Mug", &longest, &format!("{longest}x")]), "names[2]"),
        (with_score(-0.000_1), "min_score"),
        (with_score(1.000_1), "min_score"),
        (with_score(f64::NAN), "min_score"),
        (with_score(f64::INFINITY), "min_score"),
        (with_phases(vec![String::new()]), "phases"),
        (with_phases(vec!["a\0".to_owned()]), "phases"),
        (with_phases(vec!["x".repeat(257)]), "phases"),
        (with_phases(vec!["x".to_owned(); 65]), "phases"),
    ] {
        assert_invalid(server.client().resolve_products(request).await, "FIELD_INVALID", field);
    }
    let both = ResolveProductsRequest { min_score: Some(2.0), ..request(&["", "Mug", "\0"]) };
    let refused = refusal(&server.client().resolve_products(both).await.unwrap_err());
    assert_eq!(refused.fields, ["names[0]", "names[2]", "min_score"]);
    for request in [request(&many(1_000)), request(&[&longest]), with_score(-0.0), with_score(1.0)] {
        resolve(&server, request).await;
    }
}

#[tokio::test]
async fn a_thousand_of_the_longest_names_are_a_request() {
    let (_database, _operator, server) = shop(&[("prd_mug", "Mug")]).await;
    let names: Vec<String> = (0..1_000).map(|number| format!("{number:04}{}", "é".repeat(1_022))).collect();
    let resolutions = resolve(&server, ResolveProductsRequest { names: names.clone(), ..Default::default() }).await;
    assert!(resolutions.iter().map(|resolution| &resolution.name).eq(&names));
    assert!(resolutions.iter().all(|resolution| resolution.r#match() == MatchKind::None));
}

#[tokio::test]
async fn an_answer_is_no_larger_than_its_caller_accepts() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    // Five products of each name; together with the candidates, an answer has some 700 KiB.
    run(
        &mut operator,
        "insert into catalog.product (uid, name) \
         select 'prd_' || n, repeat(chr(97 + n % 20) || ' ', 500) || n % 20 from generate_series(1, 100) n",
    )
    .await;
    let server = CatalogServer::start(&database).await;
    let exact: Vec<String> =
        (0..20_u8).map(|n| format!("{} ", char::from(b'a' + n)).repeat(500) + &n.to_string()).collect();
    let normalized: Vec<String> = exact.iter().map(|name| name.to_uppercase()).collect();
    let similar: Vec<String> = exact.iter().map(|name| format!("x {name}")).collect();
    for (names, kind) in [(exact, "exact"), (normalized, "normalized"), (similar, "similar")] {
        let request = ResolveProductsRequest { names, ..Default::default() };
        let whole = resolve(&server, request.clone()).await;
        assert!(whole.iter().all(|resolution| outcome(resolution).2.len() == 5), "{kind}: {whole:?}");
        let status = server.client().resolve_products(accepting(request, 65_536)).await.unwrap_err();
        let refused = refusal(&status);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "ANSWER_TOO_LARGE"), "{kind}");
    }
}
