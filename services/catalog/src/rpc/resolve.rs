//! ResolveProducts: products by what other systems call them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use orrery_kit::context::{Call, Context};
use orrery_kit::error::{Error, Violation};
use orrery_kit::work::offload;
use orrery_proto::catalog::v1::resolved_product::Candidate;
use orrery_proto::catalog::v1::{MatchKind, ResolveProductsRequest, ResolveProductsResponse};
use prost::Message as _;
use tonic::{Request, Response};

use crate::resolve::search::Search;
use crate::resolve::{Found, MAX_CANDIDATES};
use crate::store::resolve::{AllNames, NamesPage, in_phases, named};

/// The most names of a request.
const MAX_NAMES: usize = 1_000;
/// The most bytes of a name.
const MAX_NAME_BYTES: usize = 2_048;
/// The least score of a similar product, unless the request says otherwise.
const DEFAULT_MIN_SCORE: f64 = 0.9;
/// How long products are compared at a time. A call that was given up ends that much later.
const SLICE: Duration = Duration::from_millis(10);
/// The clock is read after so many products.
const ROWS_PER_LOOK: usize = 16;

pub(super) async fn resolve(
    context: &Context,
    request: Request<ResolveProductsRequest>,
) -> Result<Response<ResolveProductsResponse>, Error> {
    let call = Call::of(&request)?;
    let reads = context.reads(&call);
    let ResolveProductsRequest { names, min_score, phases } = request.into_inner();
    let min_score = min_score.unwrap_or(DEFAULT_MIN_SCORE);
    check(&names, min_score)?;
    let phases = || in_phases(&phases);

    let different: HashSet<String> = names.iter().cloned().collect();
    let asked = different.iter().map(String::as_str).collect();
    let uids = named(&reads, asked, &phases()?, MAX_CANDIDATES, call.deadline).await?;
    let mut found: HashMap<String, Found> =
        uids.into_iter().map(|(name, uids)| (name.clone(), exactly(&name, uids))).collect();
    let search = Search::new(different.into_iter().filter(|name| !found.contains_key(name)), min_score);
    if search.forms() > 0 {
        let all = AllNames::new(&reads, phases()?)?;
        found.extend(compare_all(&call, search, all).await?.finish());
    }

    let resolution = |name: String| found.get(&name).cloned().unwrap_or_default().resolution(name);
    let answer = ResolveProductsResponse { resolutions: names.into_iter().map(resolution).collect() };
    call.answers.check(answer.encoded_len())?;
    call.rows.add(answer.resolutions.len() as u64);
    Ok(Response::new(answer))
}

/// Checks what the contract's annotations say.
fn check(names: &[String], min_score: f64) -> Result<(), Error> {
    let mut violations = Vec::new();
    if names.is_empty() || names.len() > MAX_NAMES {
        violations.push(Violation::new("names", format!("must be 1 to {MAX_NAMES} names")));
    }
    for (at, name) in names.iter().enumerate().take(MAX_NAMES) {
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains('\0') {
            let why = format!("must be 1 to {MAX_NAME_BYTES} bytes, without NUL");
            violations.push(Violation::new(format!("names[{at}]"), why));
        }
    }
    if !(0.0..=1.0).contains(&min_score) {
        violations.push(Violation::new("min_score", "must be a number from 0 to 1"));
    }
    if violations.is_empty() { Ok(()) } else { Err(Error::Invalid(violations)) }
}

/// The products that have exactly this name.
fn exactly(name: &str, uids: Vec<String>) -> Found {
    let candidate = |product_uid| Candidate { product_uid, name: name.to_owned(), score: 1.0 };
    Found::equal(MatchKind::Exact, uids.into_iter().map(candidate).collect())
}

/// Shows all products to the search. The next page is read while one is compared.
async fn compare_all(call: &Call, mut search: Search, mut all: AllNames) -> Result<Search, Error> {
    let mut page = all.next_page(call.deadline).await?;
    while !page.end {
        (search, page) = tokio::try_join!(compare(call, search, page), all.next_page(call.deadline))?;
    }
    compare(call, search, page).await
}

/// Shows the products of a page to the search, piece by piece.
async fn compare(call: &Call, mut search: Search, mut page: NamesPage) -> Result<Search, Error> {
    while page.bytes() > 0 {
        // What it costs: the bytes of the products, compared with each name.
        let work = page.bytes().saturating_mul(search.forms());
        (search, page) = offload(work, move || compare_some(search, page)).await??;
        // The candidates are a part of the answer.
        call.answers.check(search.bytes())?;
    }
    Ok(search)
}

/// Shows products to the search for a little while.
fn compare_some(mut search: Search, mut page: NamesPage) -> Result<(Search, NamesPage), Error> {
    let begun = Instant::now();
    while begun.elapsed() < SLICE {
        for _ in 0..ROWS_PER_LOOK {
            let Some(product) = page.next_row()? else { return Ok((search, page)) };
            search.consider(&product.uid, &product.name);
        }
    }
    Ok((search, page))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(names: &[&str], min_score: f64) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        match check(&names, min_score) {
            Ok(()) => Vec::new(),
            Err(Error::Invalid(violations)) => violations.into_iter().map(|violation| violation.field).collect(),
            Err(error) => unreachable!("{error:?}"),
        }
    }

    #[test]
    fn comparing_pauses_before_the_end_of_a_page() {
        let name = |number: usize| "abcdefghijklmnopqrstuvwxyz".repeat(60) + &"q".repeat(number);
        let mut search = Search::new((0..100).map(name), 0.0);
        let products = (0..1_000).map(|number| (format!("prd_{number:04}"), name(number)));
        let mut page = NamesPage::of(products);
        let (mut slices, whole) = (0, page.bytes());
        while page.bytes() > 0 {
            (search, page) = compare_some(search, page).expect("rows");
            slices += 1;
            if slices == 1 {
                assert!(page.bytes() > 0 && page.bytes() < whole);
                // The rest takes no time.
                search = Search::new(["a".to_owned()], 0.9);
            }
        }
        assert!(slices > 1);
    }

    #[test]
    fn every_mistake_is_named() {
        let (longest, longer) = ("é".repeat(1_024), "é".repeat(1_024) + "x");
        assert!(violations(&[&longest, "?"], 0.0).is_empty() && violations(&["a"; 1_000], 1.0).is_empty());
        assert_eq!(violations(&["a"; 1_001], 0.9), ["names"]);
        assert_eq!(violations(&[], f64::NAN), ["names", "min_score"]);
        assert_eq!(violations(&["a", "", &longer, "b\0"], 1.01), ["names[1]", "names[2]", "names[3]", "min_score"]);
        for min_score in [-0.01, -1.0, 2.0, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(violations(&["a"], min_score), ["min_score"]);
        }
    }
}
