//! The products that the names in a file mean. Names are remembered, so that a file that repeats them asks once.

use std::collections::{BTreeSet, HashMap};

use orrery_kit::context::Call;
use orrery_kit::error::Error;
use orrery_peers::CatalogClient;
use orrery_proto::catalog::v1::{MatchKind, ResolveProductsRequest, ResolvedProduct};
use orrery_proto::records::v1::import_error::Candidate;

/// How many names are asked for in one call. The answer stays below 4 MiB, also if they and all candidates are long.
const MAX_NAMES: usize = 200;
/// How many bytes of names and candidates are remembered.
const MAX_BYTES: usize = 2 << 20;
/// What an entry takes beside its texts, roughly.
const ENTRY_BYTES: usize = 128;
/// How many characters of a candidate's name are told.
const MAX_NAME: usize = 200;

/// What a name means.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Meaning {
    /// This product.
    Product(String),
    /// Any of these.
    Ambiguous(Vec<Candidate>),
    /// No product.
    None,
}

/// Names that were asked for.
#[derive(Debug)]
pub(super) struct Titles {
    catalog: CatalogClient,
    min_score: Option<f64>,
    known: HashMap<String, Meaning>,
    bytes: usize,
}

impl Titles {
    /// Products are found in `catalog`; see ResolveProducts for the score.
    pub(super) fn new(catalog: &CatalogClient, min_score: Option<f64>) -> Self {
        Self { catalog: catalog.clone(), min_score, known: HashMap::new(), bytes: 0 }
    }

    /// Finds out what names mean that are not known yet. Only these are then sure to be known.
    ///
    /// # Errors
    /// As [`CatalogClient::resolve_products`].
    pub(super) async fn look_up<'t>(
        &mut self,
        titles: impl Iterator<Item = &'t String>,
        call: &Call,
    ) -> Result<(), Error> {
        let titles: BTreeSet<&String> = titles.collect();
        if self.bytes > MAX_BYTES {
            self.known.clear();
            self.bytes = 0;
        }
        let unknown: Vec<&String> = titles.into_iter().filter(|title| !self.known.contains_key(*title)).collect();
        for names in unknown.chunks(MAX_NAMES) {
            let names: Vec<String> = names.iter().map(|name| (*name).clone()).collect();
            let request = ResolveProductsRequest { names, min_score: self.min_score, phases: Vec::new() };
            for resolved in self.catalog.resolve_products(request, call.deadline).await? {
                let name = resolved.name.clone();
                let meaning = meaning(resolved);
                self.bytes += name.len() + bytes(&meaning) + ENTRY_BYTES;
                self.known.insert(name, meaning);
            }
        }
        Ok(())
    }

    /// What a name means that was looked up.
    pub(super) fn meaning(&self, title: &str) -> &Meaning {
        self.known.get(title).unwrap_or(&Meaning::None)
    }
}

fn meaning(resolved: ResolvedProduct) -> Meaning {
    match resolved.r#match() {
        MatchKind::Exact | MatchKind::Normalized | MatchKind::Similar => Meaning::Product(resolved.product_uid),
        MatchKind::Ambiguous => {
            let candidates = resolved.candidates.into_iter().map(|candidate| Candidate {
                product_uid: candidate.product_uid,
                name: candidate.name.chars().take(MAX_NAME).collect(),
                score: candidate.score,
            });
            Meaning::Ambiguous(candidates.collect())
        }
        MatchKind::None | MatchKind::Unspecified => Meaning::None,
    }
}

fn bytes(meaning: &Meaning) -> usize {
    match meaning {
        Meaning::Product(uid) => uid.len(),
        Meaning::Ambiguous(candidates) => {
            candidates.iter().map(|candidate| candidate.product_uid.len() + candidate.name.len() + ENTRY_BYTES).sum()
        }
        Meaning::None => 0,
    }
}
