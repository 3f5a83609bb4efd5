#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;
use crate::resolve::is_tie;

/// What is found for each name among products of these names, whose uids are their places.
fn search(names: &[&str], products: &[&str], min_score: f64) -> Vec<Found> {
    let mut search = Search::new(names.iter().map(|&name| name.to_owned()), min_score);
    for (at, name) in products.iter().enumerate() {
        search.consider(&format!("prd_{at:04}"), name);
    }
    let mut found = search.finish();
    names.iter().map(|&name| found.remove(name).expect("every name is answered")).collect()
}

/// The kind and the places of the candidates.
fn outcome(name: &str, products: &[&str]) -> (MatchKind, Vec<usize>) {
    let found = search(&[name], products, 0.9).remove(0);
    (found.kind, places(&found))
}

fn places(found: &Found) -> Vec<usize> {
    let place = |candidate: &Candidate| candidate.product_uid.trim_start_matches("prd_").parse().expect("a place");
    found.candidates.iter().map(place).collect()
}

#[test]
fn the_exact_name_is_better_than_the_form_and_that_than_a_similar_one() {
    use MatchKind::{Ambiguous, Exact, None, Normalized, Similar};
    let shop = [
        "PEG BAG APPLES DESIGN",
        "peg bag apples design",
        "Peg-Bag Apples Design",
        "ZINC HEART HOLDER",
        "zinc  heart holder",
    ];
    for (name, kind, candidates) in [
        ("PEG BAG APPLES DESIGN", Exact, vec![0]),
        ("Peg Bag Apples Design", Ambiguous, vec![0, 1, 2]),
        ("PEG BAG APPLE DESIGN", Ambiguous, vec![0, 1, 2]),
        ("Zinc Heart-Holder", Ambiguous, vec![3, 4]),
        ("zinc  heart holder", Exact, vec![4]),
        ("LUNCH BAG", None, vec![]),
    ] {
        assert_eq!(outcome(name, &shop), (kind, candidates), "{name}");
    }
    let shop = ["PEG BAG APPLES DESIGN", "ZINC HEART HOLDER"];
    assert_eq!(outcome("peg bag apples design!", &shop), (Normalized, vec![0]));
    assert_eq!(outcome("PEG BAG APPLE DESIGN", &shop), (Similar, vec![0]));
    assert_eq!(outcome("PEG BAG APPELS DESIGN", &shop), (Similar, vec![0]));
    assert_eq!(outcome("PEG BAG APPEL DESIGNS", &shop), (None, vec![]));
}

#[test]
fn two_that_are_as_similar_are_reported() {
    let shop = ["CAKE STAND HANGING STRAWBERRY LARGE", "CAKE STAND HANGING STRAWBERRY LARGO"];
    assert_eq!(outcome("CAKE STAND HANGING STRAWBERRY LARG", &shop), (MatchKind::Ambiguous, vec![0, 1]));
    // One edit is ahead of two, unless the names are so long that an edit hardly counts.
    assert_eq!(outcome("CAKE STANDS HANGING STRAWBERRY LARGE", &shop), (MatchKind::Similar, vec![0, 1]));
    let long = "A STAND FOR CAKES THAT HANGS FROM THE CEILING WITH STRAWBERRIES ";
    let [named, first, second] = ["LARGES", "LARGE", "LARGO"].map(|size| format!("{long}{size}"));
    assert_eq!(outcome(&named, &[&first, &second]), (MatchKind::Ambiguous, vec![0, 1]));
}

#[test]
fn other_numbers_are_another_product() {
    for (name, product) in [
        ("PACK OF 60 CAKE CASES VINTAGE", "PACK OF 72 CAKE CASES VINTAGE"),
        ("PAPER LANTERN 5 POINT STAR MOON", "PAPER LANTERN 5 POINT STAR MOON 3"),
        ("PAPER LANTERN 55 POINT STAR MOON", "PAPER LANTERN 5 POINT STAR MOON"),
        ("PAPER LANTERN POINT STAR MOON", "PAPER LANTERN 5 POINT STAR MOON"),
        ("MUG ٣ COLOURS STRIPED SMALL", "MUG 3 COLOURS STRIPED SMALL"),
    ] {
        assert_eq!(outcome(name, &[product]), (MatchKind::None, vec![]), "{name}");
        assert_eq!(outcome(product, &[name]), (MatchKind::None, vec![]), "{name}");
    }
    let (name, product) = ("PAPER LANTERNS 5 POINT STAR MOON", "PAPER LANTERN 5 POINT STAR MOON");
    assert_eq!(outcome(name, &[product]).0, MatchKind::Similar);
}

#[test]
fn names_without_letters_are_found_only_exactly() {
    assert_eq!(outcome("???", &["!!!", "", "???"]), (MatchKind::Exact, vec![2]));
    assert_eq!(outcome("??", &["!!!", "", "???"]), (MatchKind::None, vec![]));
    let found = search(&["??", "a"], &["b", ""], 0.0);
    assert_eq!((found[0].kind, found[1].kind), (MatchKind::None, MatchKind::Similar));
}

#[test]
fn the_five_best_are_kept_and_of_equal_ones_the_first() {
    let names: Vec<String> = (b'a'..=b'z').map(|letter| format!("letter {} bling key ring", letter as char)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = search(&["letter bling key ring"], &names, 0.8).remove(0);
    assert_eq!((found.kind, places(&found)), (MatchKind::Ambiguous, vec![0, 1, 2, 3, 4]));
    let better = [&names[..], &["letters bling key ring", "letter bling key rings"]].concat();
    let found = search(&["letter bling key ring"], &better, 0.8).remove(0);
    assert_eq!((found.kind, places(&found)), (MatchKind::Ambiguous, vec![26, 27, 0, 1, 2]));
    let found = search(&["letter q bling key ring"], &["Letter Q bling key ring"; 9], 0.8).remove(0);
    assert_eq!((found.kind, places(&found)), (MatchKind::Ambiguous, vec![0, 1, 2, 3, 4]));
}

#[test]
fn the_bytes_of_candidates_are_counted() {
    let names = ["peg bag apples design", "PEG BAG APPLES DESIGN", "zinc heart holder", "???"];
    let mut search = Search::new(names.map(str::to_owned), 0.5);
    let shop = ["peg bag apple design", "zinc hearts holder", "PEG BAG APPLES DESIGN", "???", "zinc heart holders"];
    for (at, name) in shop.iter().cycle().take(60).enumerate() {
        search.consider(&format!("prd_{at}"), name);
        let kept = search
            .forms
            .iter()
            .flat_map(|form| form.names.iter().flat_map(|name| &name.exact).chain(&form.same).chain(&form.similar));
        let expected: usize = kept.map(size).sum();
        assert_eq!(search.bytes(), expected);
    }
}

/// What the contract says, without a shortcut: every name is compared with every product.
fn expected(name: &str, products: &[&str], min_score: f64) -> (MatchKind, Vec<usize>) {
    let with = |fits: &dyn Fn(&str) -> bool| -> Vec<usize> {
        (0..products.len()).filter(|&at| fits(products[at])).take(MAX_CANDIDATES).collect()
    };
    let form = normal_form(name);
    let tie_of = |kind, found: Vec<usize>| (if found.len() == 1 { kind } else { MatchKind::Ambiguous }, found);
    let exact = with(&|product| product == name);
    if !exact.is_empty() {
        return tie_of(MatchKind::Exact, exact);
    }
    let same = with(&|product| !form.is_empty() && normal_form(product) == form);
    if !same.is_empty() {
        return tie_of(MatchKind::Normalized, same);
    }
    let numbers = |text: &[char]| {
        let mut numbers = String::new();
        write_numbers(text, &mut numbers);
        numbers
    };
    let chars: Vec<char> = form.chars().collect();
    let mut scores: Vec<(f64, usize)> = Vec::new();
    for (at, product) in products.iter().enumerate() {
        let other: Vec<char> = normal_form(product).chars().collect();
        let score = Comparator::new(&chars).score(&other);
        if !chars.is_empty() && !other.is_empty() && numbers(&chars) == numbers(&other) && score >= min_score {
            scores.push((score, at));
        }
    }
    scores.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    scores.truncate(MAX_CANDIDATES);
    let kind = match &scores[..] {
        [] => MatchKind::None,
        [best, second, ..] if is_tie(best.0, second.0) => MatchKind::Ambiguous,
        _ => MatchKind::Similar,
    };
    (kind, scores.into_iter().map(|(_, at)| at).collect())
}

/// Names that have much in common, and any other ones.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "(small |LARGE )?(red|Red|blue|grey) (mug|jug|hug|m-ug)( 1| 2| 12)?",
        2 => "[ab1 ]{0,8}",
        1 => "[a-c]{60,70}",
        1 => any::<String>(),
    ]
}

proptest! {
    #[test]
    fn a_search_finds_what_comparing_everything_finds(
        names in prop::collection::btree_set(name(), 1..8),
        products in prop::collection::vec(name(), 0..30),
        min_score in prop_oneof![Just(0.9), Just(0.0), Just(1.0), 0.0..=1.0],
    ) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let products: Vec<&str> = products.iter().map(String::as_str).collect();
        for (name, found) in names.iter().zip(search(&names, &products, min_score)) {
            prop_assert_eq!((found.kind, places(&found)), expected(name, &products, min_score), "{:?}", name);
            prop_assert!(found.candidates.is_sorted_by(|one, other| one.score >= other.score));
        }
    }
}
