//! Names of other systems, resolved among products with titles like those of a gift shop.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use orrery::cluster::Role;
use orrery_proto::catalog::v1::{MatchKind, ResolveProductsRequest};

use super::service::Service;
use crate::postgres::Postgres;
use crate::{Rate, Report, Settings, setting};

/// The parts of a title, each one of a list. Their combinations are more than the products.
const PARTS: [&str; 5] = [
    "SMALL, LARGE, MINI, JUMBO, SET OF 2, SET OF 3, SET OF 6, PACK OF 12, HANGING, FOLDING",
    "RED, BLUE, PINK, GREEN, IVORY, WHITE, BLACK, SILVER, GOLD, CREAM, GREY, BROWN, MINT, ORANGE, PURPLE, YELLOW, \
     TURQUOISE, LILAC, CLEAR, COPPER, ROSE, SKY BLUE, DARK GREEN, CORAL, ANTIQUE, NATURAL, PEWTER, CHARCOAL, SAND",
    "VINTAGE, RETROSPOT, POLKADOT, PAISLEY, GINGHAM, SPACEBOY, DOLLY GIRL, WOODLAND, REGENCY, STRAWBERRY, SKULLS, \
     UNION JACK, CHRISTMAS, EASTER, FLORAL, BUTTERFLY, SCANDINAVIAN, PARISIENNE, EDWARDIAN, FRENCH, CIRCUS, DINER, \
     APPLE, DAISY, BAROQUE, KNITTED, ENAMEL, ZINC, WICKER, CERAMIC",
    "LUNCH BAG, CAKE STAND, T-LIGHT HOLDER, MUG, PLATE, BOWL, TEA TOWEL, CUSHION COVER, CLOCK, DOORMAT, PEG BAG, \
     CUTLERY SET, NAPKINS, PICTURE FRAME, PHOTO ALBUM, JEWELLERY BOX, CANDLESTICK, LANTERN, BIRD HOUSE, WATERING CAN, \
     GARLAND, WREATH, BUNTING, CHALKBOARD, COAT HANGER, DRAWER KNOB, HOT WATER BOTTLE, LIGHT STRING, MAGNETS, MIRROR, \
     NECKLACE, NOTEBOOK, PAPER CHAIN KIT, PURSE, RECIPE BOX, SUGAR TONGS, SEWING KIT, STORAGE TIN, UMBRELLA",
    "DESIGN, LID, IN GIFT BOX, WITH BELL, WITH HANDLE, DECORATION, FOR CHILDREN, WITH HEARTS, WITH STARS, ASSORTED, \
     LARGE SIZE, TRAVEL SIZE, HAND PAINTED, RECYCLED, NEW, WITH RIBBON, TO COLOUR, WITH BOBBLES, OF GLASS, OF TIN, \
     WITH POCKET, WITH DRAWER, STYLE, IN TUBE, ON STAND, HANGER, KIT, BY THE METRE, WITH TASSEL, REFILL",
];
/// Spreads neighbouring numbers over the combinations.
const STRIDE: usize = 7_919;

/// The title of a product.
fn title(number: usize) -> String {
    let mut rest = number * STRIDE;
    let mut words = Vec::new();
    for part in PARTS.map(|part| part.split(", ").collect::<Vec<_>>()) {
        words.push(part[rest % part.len()]);
        rest /= part.len();
    }
    words.join(" ")
}

/// The same in SQL; `n` is the number.
fn title_sql() -> String {
    let (mut words, mut passed) = (Vec::new(), 1);
    for part in PARTS {
        let list = format!("(array['{}'])", part.replace(", ", "', '"));
        let length = part.split(", ").count();
        words.push(format!("{list}[1 + n * {STRIDE} / {passed} % {length}]"));
        passed *= length;
    }
    words.join(" || ' ' || ")
}

/// A title with one letter replaced: no product has it.
fn mistyped(number: usize) -> String {
    let title = title(number);
    let (at, _) = title.char_indices().nth(number % title.len()).unwrap_or((0, ' '));
    format!("{}Q{}", &title[..at], &title[at + 1..])
}

async fn fill(postgres: &Postgres, rows: usize) -> anyhow::Result<()> {
    postgres
        .execute(&format!(
            "insert into catalog.product (uid, name) select 'prd_' || lpad(n::text, 26, '0'), {} \
             from generate_series(1, {rows}::bigint) as n",
            title_sql()
        ))
        .await?;
    postgres.execute("vacuum (analyze, freeze) catalog.product").await?;
    postgres.settle().await
}

/// Resolves names and returns how long it took.
async fn resolve(service: &Service, names: Vec<String>, kind: Option<MatchKind>) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let request = ResolveProductsRequest { names, ..ResolveProductsRequest::default() };
    let answer = service.client().resolve_products(request).await?.into_inner();
    let took = started.elapsed();
    for resolution in answer.resolutions {
        let found = resolution.r#match();
        let is_right = kind.map_or(found != MatchKind::None, |kind| kind == found);
        anyhow::ensure!(is_right, "{} is {found:?}", resolution.name);
    }
    Ok(took)
}

/// Names that no product has exactly, and names that exist.
pub(super) async fn measure(postgres: &Postgres, settings: Settings, report: &mut Report) -> anyhow::Result<()> {
    let rows = setting("ORRERY_BENCH_ROWS", 1_000_000);
    fill(postgres, rows).await?;
    let service =
        Service::start(&postgres.url(Role::Catalog), &[]).await.context("the catalog service did not start")?;
    let copy = ["copy (select uid, name from catalog.product order by uid) to stdout (format binary)".to_owned()];
    let numbers = |count: usize| (1..=count).map(move |number| number * (rows / count));
    let mut copy_out = Rate::default();
    let mut rates: [Rate; 2] = Default::default();
    let mut exact = Rate::default();
    for run in 1..=settings.runs {
        copy_out.add(rows, postgres.psql(&copy)?);
        for (rate, count) in rates.iter_mut().zip([10, 1_000]) {
            rate.add(rows, resolve(&service, numbers(count).map(mistyped).collect(), None).await?);
        }
        let took = resolve(&service, numbers(1_000).map(title).collect(), Some(MatchKind::Exact)).await?;
        exact.0.push(took.as_secs_f64() * 1e3);
        eprintln!(
            "resolve, run {run}: {:.0}/s and {:.0}/s of {:.0}/s",
            rates[0].last(),
            rates[1].last(),
            copy_out.last()
        );
    }
    let limit = "COPY of uid and name";
    for (rate, count) in rates.iter().zip([10, 1_000]) {
        report.row(&format!("resolve {count} mistyped names among {rows} products"), limit, &copy_out, rate);
        report.note(format!("resolve {count} mistyped names: {:.2} s", rows as f64 / rate.median()));
    }
    report.note(format!("resolve 1000 names that exist: {:.1} ms", exact.median()));
    report.memory("the catalog service", "names resolved", service.peak_memory()?);
    drop(service);
    postgres.execute("truncate catalog.product").await
}
