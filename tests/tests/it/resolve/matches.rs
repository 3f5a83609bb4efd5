//! How well a product fits, and what is answered.

use orrery_proto::catalog::v1::resolved_product::Candidate;
use orrery_proto::catalog::v1::{MatchKind, ResolveProductsRequest, ResolvedProduct};

use super::{insert, only, outcome, request, resolve, shop};
use crate::harness::run;

const SHOP: &[(&str, &str)] = &[
    ("prd_apples", "PEG BAG APPLES DESIGN"),
    ("prd_cases", "PACK OF 72 RETROSPOT CAKE CASES"),
    ("prd_heart", "WHITE HANGING HEART T-LIGHT HOLDER"),
    ("prd_scarf", "Écharpe d'hiver"),
    ("prd_space", "SPACEBOY CHILDRENS CUP"),
];

#[tokio::test]
async fn a_name_is_found_exactly_or_by_its_normal_form_or_by_similarity() {
    let (_database, _operator, server) = shop(SHOP).await;
    let cases = [
        ("WHITE HANGING HEART T-LIGHT HOLDER", MatchKind::Exact, "prd_heart"),
        ("white hanging heart t light holder", MatchKind::Normalized, "prd_heart"),
        ("  White hanging-heart, T-LIGHT  holder!", MatchKind::Normalized, "prd_heart"),
        ("WHITE HANGING HAERT T-LIGHT HOLDERS", MatchKind::Similar, "prd_heart"),
        ("E\u{301}CHARPE D’HIVER", MatchKind::Normalized, "prd_scarf"),
        ("Echarpe d'hiver", MatchKind::Similar, "prd_scarf"),
        ("space boy childrens cup", MatchKind::Similar, "prd_space"),
        ("PACK OF 60 RETROSPOT CAKE CASES", MatchKind::None, ""),
        ("CREAM CUPID HEARTS COAT HANGER", MatchKind::None, ""),
        ("WHITE HANGING HEART T-LIGHT HOLDER", MatchKind::Exact, "prd_heart"),
    ];
    let resolutions = resolve(&server, request(&cases.map(|(name, ..)| name))).await;
    assert_eq!(resolutions.len(), cases.len());
    for (resolution, (name, kind, uid)) in resolutions.iter().zip(cases) {
        let candidates = if uid.is_empty() { vec![] } else { vec![uid] };
        assert_eq!((resolution.name.as_str(), outcome(resolution)), (name, (kind, uid, candidates)));
        let score = resolution.candidates.first().map_or(0.0, |candidate| candidate.score);
        assert_eq!(resolution.score.to_bits(), score.to_bits(), "{name}");
        let is_whole = matches!(kind, MatchKind::Exact | MatchKind::Normalized);
        assert_eq!(resolution.score >= 1.0, is_whole, "{name}: {score}");
    }
    let stored = "WHITE HANGING HEART T-LIGHT HOLDER".to_owned();
    let expected = ResolvedProduct {
        name: "WHITE HANGING HEART T-LIGHT HOLDRE".to_owned(),
        product_uid: "prd_heart".to_owned(),
        r#match: MatchKind::Similar.into(),
        score: 33.0 / 34.0,
        candidates: vec![Candidate { product_uid: "prd_heart".to_owned(), name: stored, score: 33.0 / 34.0 }],
    };
    assert_eq!(only(&server, &expected.name).await, expected);
}

#[tokio::test]
async fn where_several_fit_equally_well_all_are_reported_and_none_is_chosen() {
    let same = "Glass vase, blue, round, small";
    let (_database, mut operator, server) = shop(&[
        ("prd_same1", same),
        ("prd_same2", same),
        ("prd_form1", "ZINC HEART HOLDER"),
        ("prd_form2", "Zinc  heart holder"),
        ("prd_large", "CAKE STAND HANGING STRAWBERRY LARGE"),
        ("prd_largo", "CAKE STAND HANGING STRAWBERRY LARGO"),
    ])
    .await;
    let ambiguous = |uids: [&'static str; 2]| (MatchKind::Ambiguous, "", uids.to_vec());
    assert_eq!(outcome(&only(&server, same).await), ambiguous(["prd_same1", "prd_same2"]));
    assert_eq!(outcome(&only(&server, "zinc heart holder").await), ambiguous(["prd_form1", "prd_form2"]));
    // One of two with this normal form has exactly this name.
    let exact = only(&server, "ZINC HEART HOLDER").await;
    assert_eq!(outcome(&exact), (MatchKind::Exact, "prd_form1", vec!["prd_form1"]));
    let larg = only(&server, "CAKE STAND HANGING STRAWBERRY LARG").await;
    assert_eq!(outcome(&larg), ambiguous(["prd_large", "prd_largo"]));
    assert!(larg.score > 0.97 && larg.candidates[1].score.to_bits() == larg.score.to_bits());
    // One edit is ahead of two; the other one is reported as well.
    let larges = only(&server, "CAKE STAND HANGING STRAWBERRY LARGES").await;
    assert_eq!(outcome(&larges), (MatchKind::Similar, "prd_large", vec!["prd_large", "prd_largo"]));

    // More than five.
    let uids: Vec<String> = (0..9).map(|number| format!("prd_many{number}")).collect();
    insert(&mut operator, &uids.iter().map(|uid| (uid.as_str(), Some("Wicker basket"))).collect::<Vec<_>>()).await;
    let expected: Vec<&str> = uids[..5].iter().map(String::as_str).collect();
    for name in ["Wicker basket", "WICKER BASKET", "Wicker baskets"] {
        assert_eq!(outcome(&only(&server, name).await), (MatchKind::Ambiguous, "", expected.clone()), "{name}");
    }
}

#[tokio::test]
async fn only_products_in_the_phases_asked_for_are_found() {
    let name = "Oak shelf, waxed, with two brackets";
    let (_database, mut operator, server) = shop(&[("prd_new", name), ("prd_old", name)]).await;
    run(&mut operator, "update catalog.product set status = '{\"phase\": \"retired\"}' where uid = 'prd_old'").await;
    let names = [
        "Oak shelf, waxed, with two brackets",
        "OAK SHELF WAXED WITH TWO BRACKETS",
        "Oak shelf waxed with two bracket",
    ];
    let kinds = [MatchKind::Exact, MatchKind::Normalized, MatchKind::Similar];
    for (phases, uid) in [(&["active"][..], "prd_new"), (&["retired"], "prd_old"), (&["draft", "retired"], "prd_old")] {
        let phases = phases.iter().map(|&phase| phase.to_owned()).collect();
        let resolutions = resolve(&server, ResolveProductsRequest { phases, ..request(&names) }).await;
        for (resolution, kind) in resolutions.iter().zip(kinds) {
            assert_eq!(outcome(resolution), (kind, uid, vec![uid]));
        }
    }
    for (phases, kind) in [(vec![], MatchKind::Ambiguous), (vec!["draft".to_owned()], MatchKind::None)] {
        let resolutions = resolve(&server, ResolveProductsRequest { phases, ..request(&names) }).await;
        assert!(resolutions.iter().all(|resolution| resolution.r#match() == kind), "{resolutions:?}");
    }
}

#[tokio::test]
async fn the_least_score_decides_what_is_similar() {
    let (_database, _operator, server) = shop(SHOP).await;
    // Two edits in 21 characters: 0.905; four: 0.81.
    for (name, min_score, is_found) in [
        ("PEG BAGS APPLE DESIGN", None, true),
        ("PEG BAGS APPLE DESIGN", Some(0.9), true),
        ("PEG BAGS APPLE DESIGN", Some(0.91), false),
        ("BEG BAGS APPLE DESING", None, false),
        ("BEG BAGS APPLE DESING", Some(0.8), true),
        ("PEG BAG APPLES DESIGNS", Some(1.0), false),
        ("peg bag apples design", Some(1.0), true),
    ] {
        let [resolution] = &resolve(&server, ResolveProductsRequest { min_score, ..request(&[name]) }).await[..] else {
            unreachable!("{name}")
        };
        assert_eq!(resolution.product_uid == "prd_apples", is_found, "{name} {min_score:?}: {resolution:?}");
    }
    // Everything is similar; the best is still the first.
    let all = ResolveProductsRequest { min_score: Some(0.0), ..request(&["SPACEBOY CHILDREN CUP"]) };
    let [resolution] = &resolve(&server, all).await[..] else { unreachable!("one") };
    assert_eq!((resolution.product_uid.as_str(), resolution.candidates.len()), ("prd_space", 4));
    // The fifth product has a number.
    assert!(resolution.candidates.iter().all(|candidate| candidate.product_uid != "prd_cases"));
}

#[tokio::test]
async fn names_that_other_programs_stored_are_compared_like_any_other() {
    let (_database, mut operator, server) = shop(&[]).await;
    let (longest, longer) = (format!("{}!", "é".repeat(4_095)), "x".repeat(8_193));
    let long = "long ".repeat(400) + "name";
    insert(
        &mut operator,
        &[
            ("", Some("no uid")),
            ("prd_empty", Some("")),
            ("prd_huge", Some(&"huge ".repeat(2_000_000))),
            ("prd_long", Some(&long)),
            ("prd_longer", Some(&longer)),
            ("prd_longest", Some(&longest)),
            ("prd_marks", Some("???")),
            ("prd_null", None),
            ("prd_odd", Some("\u{1}Kelim\u{feff}\u{202e}'; drop table catalog.product; -- \\ \" $1\r\n")),
            ("prd_smile", Some("😀 mug 😀")),
            ("prd_space", Some(" \t\u{3000} ")),
            ("Zubehör's", Some("Zubehör")),
        ],
    )
    .await;
    let cases = [
        ("no uid", MatchKind::Exact, ""),
        ("???", MatchKind::Exact, "prd_marks"),
        ("!!!", MatchKind::None, ""),
        (" ", MatchKind::None, ""),
        (&long, MatchKind::Exact, "prd_long"),
        (&long.to_uppercase(), MatchKind::Normalized, "prd_long"),
        (&format!("{long}s"), MatchKind::Similar, "prd_long"),
        ("Kelim drop table catalog product 1", MatchKind::Normalized, "prd_odd"),
        ("Kelim'; drop table catalog products; $1", MatchKind::Similar, "prd_odd"),
        ("MUG", MatchKind::Normalized, "prd_smile"),
        ("ZUBEHÖR", MatchKind::Normalized, "Zubehör's"),
        ("'; drop table catalog.product; -- \\", MatchKind::None, ""),
    ];
    let resolutions = resolve(&server, request(&cases.map(|(name, ..)| name))).await;
    for (resolution, (name, kind, uid)) in resolutions.iter().zip(cases) {
        assert_eq!((resolution.r#match(), resolution.product_uid.as_str()), (kind, uid), "{name:.40}");
    }
    // A name of 8,192 bytes is read, a longer one is not.
    let similar = |name: String| ResolveProductsRequest { min_score: Some(0.2), ..request(&[&name]) };
    let [found] = &resolve(&server, similar("é".repeat(1_024))).await[..] else { unreachable!("one") };
    assert_eq!(outcome(found), (MatchKind::Similar, "prd_longest", vec!["prd_longest"]));
    let [found] = &resolve(&server, similar("x".repeat(2_048))).await[..] else { unreachable!("one") };
    assert_eq!(outcome(found), (MatchKind::None, "", vec![]));
}
