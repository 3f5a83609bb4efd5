//! What readers ask of the current generation.

use std::collections::{BTreeMap, HashMap};

use futures::future::BoxFuture;
use orrery_kit::context::Reads;
use orrery_kit::db::Statement;
use orrery_kit::db::array::ArrayParameter;
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::read::computed::{Computed, Step};
use orrery_proto::records::v1::TagPerformance;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::MEASURES;

/// Maximum number of rows of one page.
const MAX_ROWS: usize = 5_000;

/// A generation and the last day that counts in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its number.
    pub number: i64,
    /// The last day.
    pub day_as_of: String,
}

/// The generation that readers see; `None` if none was ever complete.
///
/// # Errors
/// The errors of the database.
pub async fn current(reads: &Reads, deadline: Deadline) -> Result<Option<Generation>, Error> {
    let sql =
        "select t.generation, t.day_as_of\n  from records.tag_performance_refresh as t\n where t.phase = 'current'";
    let rows = reads.fetch(&Statement::new(sql, 1), deadline).await?;
    rows.first().map(|row| Ok(Generation { number: row.try_get(0)?, day_as_of: row.try_get(1)? })).transpose()
}

/// Whether a generation can still be read.
async fn is_kept(reads: &Reads, generation: i64, deadline: Deadline) -> Result<bool, Error> {
    let sql = "select t.generation\n  from records.tag_performance_refresh as t
 where t.phase in ('current', 'retired')\n order by t.generation desc\n limit 2";
    let rows = reads.fetch(&Statement::new(sql, 2), deadline).await?;
    let kept: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(kept.contains(&generation))
}

/// Which rows a stream has, and in which order.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The current generation.
    pub generation: i64,
    /// Any of these tags; none for all.
    pub tag_uids: Vec<String>,
    /// Any of these categories; none for all.
    pub category_names: Vec<String>,
    /// The currency; `None` for all, an empty text for the rows without one.
    pub currency_code: Option<String>,
    /// How many rows of each category; 0 for all.
    pub top_per_category: i64,
    /// The measure that rows are ordered by; `None` for the order of tags.
    pub measure: Option<&'static str>,
    /// Whether the measure, or the tag, descends.
    pub descending: bool,
}

/// The last row of a page.
#[derive(Clone, Debug)]
pub struct Position {
    generation: i64,
    /// Measure, tag and currency; `None` at the beginning.
    last: Option<(String, String, String)>,
}

impl Rows {
    fn of_row(&self, row: &TagPerformance) -> (String, String, String) {
        let measure = self.measure.map_or_else(|| "0".to_owned(), |measure| value(row, measure));
        (measure, row.tag_uid.clone(), row.currency_code.clone())
    }

    fn sql(&self, with_last: bool) -> String {
        let measure = self.measure.map_or("0::numeric".to_owned(), |measure| format!("a.{measure}::numeric"));
        let by_measure = if self.descending && self.measure.is_some() { "desc" } else { "asc" };
        let by_tag = if self.descending && self.measure.is_none() { "desc" } else { "asc" };
        let order = |alias: &str| {
            format!("{alias}.measure {by_measure}, {alias}.tag_uid {by_tag}, {alias}.currency_code {by_tag}")
        };
        let columns: Vec<String> = MEASURES.iter().map(|column| format!("a.{column}::text")).collect();
        let top = if self.top_per_category > 0 {
            "\n   and row_number <= $6".to_owned()
        } else {
            "\n   and $6 = 0".to_owned()
        };
        // Rows of equal measure are in the order of tags, which ascends; so the comparison has two parts.
        let sign = |order: &str| if order == "desc" { "<" } else { ">" };
        let behind = if with_last {
            format!(
                "\n   and (s.measure {} $7::numeric or (s.measure = $7::numeric and (s.tag_uid, s.currency_code) {} ($8, $9)))",
                sign(by_measure),
                sign(by_tag)
            )
        } else {
            String::new()
        };
        let limit = if with_last { "$10" } else { "$7" };
        format!(
            "select s.*
  from (select r.*, row_number() over (partition by r.category_name order by {}) as row_number
          from (select a.tag_uid, coalesce(g.name, '') as tag_name, coalesce(c.category_name, '') as category_name,
                       a.currency_code, {}, {measure} as measure
                  from records.tag_performance_aggregate as a
                  left join records.tag as g on g.uid = a.tag_uid
                  left join records.tag_classification as c on c.tag_uid = a.tag_uid
                 where a.generation = $1
                   and a.metric_name = ''
                   and ($2::text[] is null or a.tag_uid = any ($2))
                   and ($3::text is null or a.currency_code = $3)) as r
         where $4::text[] is null or r.category_name = any ($4)) as s
 where $5{top}{behind}
 order by {}
 limit {limit}",
            order("r"),
            columns.join(", "),
            order("s")
        )
    }

    async fn page(
        &self,
        reads: &Reads,
        position: &Position,
        limit: usize,
        deadline: Deadline,
    ) -> Result<Vec<TagPerformance>, Error> {
        let listed = |texts: &[String]| (!texts.is_empty()).then(|| texts.to_vec());
        let select = Statement::new(self.sql(position.last.is_some()), limit);
        let mut select = select
            .bind(position.generation)?
            .bind(listed(&self.tag_uids))?
            .bind(self.currency_code.clone())?
            .bind(listed(&self.category_names))?
            .bind(true)?
            .bind(self.top_per_category)?;
        if let Some((measure, tag_uid, currency_code)) = &position.last {
            select = select.bind(measure)?.bind(tag_uid)?.bind(currency_code)?;
        }
        let rows = reads.fetch(&select.bind(limit as i64)?, deadline).await?;
        let mut found: Vec<TagPerformance> = rows.iter().map(performance).collect::<Result<_, _>>()?;
        add_metrics(reads, position.generation, &mut found, deadline).await?;
        Ok(found)
    }
}

/// A row of a select of uid, name, category, currency and measures.
fn performance(row: &PgRow) -> Result<TagPerformance, Error> {
    let text = |column: usize| row.try_get::<String, _>(column);
    let count: String = text(4)?;
    Ok(TagPerformance {
        tag_uid: text(0)?,
        tag_name: text(1)?,
        category_name: text(2)?,
        currency_code: text(3)?,
        product_count: count.parse().map_err(|_| Error::internal("a count is no number"))?,
        units: text(5)?,
        units_7d: text(6)?,
        units_30d: text(7)?,
        units_90d: text(8)?,
        gross: text(9)?,
        gross_7d: text(10)?,
        gross_30d: text(11)?,
        gross_90d: text(12)?,
        metric_totals: HashMap::new(),
    })
}

/// The value of a measure as text.
fn value(row: &TagPerformance, measure: &str) -> String {
    match measure {
        "product_count" => row.product_count.to_string(),
        "units" => row.units.clone(),
        "units_7d" => row.units_7d.clone(),
        "units_30d" => row.units_30d.clone(),
        "units_90d" => row.units_90d.clone(),
        "gross" => row.gross.clone(),
        "gross_7d" => row.gross_7d.clone(),
        "gross_30d" => row.gross_30d.clone(),
        _ => row.gross_90d.clone(),
    }
}

/// Adds the sums of metrics to the rows without a currency.
async fn add_metrics(
    reads: &Reads,
    generation: i64,
    rows: &mut [TagPerformance],
    deadline: Deadline,
) -> Result<(), Error> {
    let without = rows.iter().filter(|row| row.currency_code.is_empty());
    let uids: Vec<String> = without.map(|row| row.tag_uid.clone()).collect();
    if uids.is_empty() {
        return Ok(());
    }
    let sql = "select t.tag_uid, t.metric_name, t.value::text
  from records.tag_performance_aggregate as t
 where t.generation = $1
   and t.tag_uid = any ($2)
   and t.metric_name <> ''";
    let select =
        Statement::new(sql, reads.limits().max_query_rows).bind(generation)?.bind(ArrayParameter::texts(&uids))?;
    let mut totals: HashMap<String, HashMap<String, String>> = HashMap::new();
    for row in reads.fetch(&select, deadline).await? {
        totals.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, row.try_get(2)?);
    }
    for row in rows.iter_mut().filter(|row| row.currency_code.is_empty()) {
        row.metric_totals = totals.remove(&row.tag_uid).unwrap_or_default();
    }
    Ok(())
}

impl Computed for Rows {
    type Row = TagPerformance;
    type Cursor = Position;

    fn start(&self) -> Position {
        Position { generation: self.generation, last: None }
    }

    fn resume(&self, parts: Vec<String>) -> Option<Position> {
        let [generation, measure, tag_uid, currency_code] = <[String; 4]>::try_from(parts).ok()?;
        Some(Position { generation: generation.parse().ok()?, last: Some((measure, tag_uid, currency_code)) })
    }

    fn parts(&self, cursor: &Position) -> Vec<String> {
        let (measure, tag_uid, currency_code) = cursor.last.clone().unwrap_or_default();
        vec![cursor.generation.to_string(), measure, tag_uid, currency_code]
    }

    fn after(&self, before: &Position, _: &Position, taken: &[TagPerformance]) -> Position {
        Position { generation: before.generation, last: taken.last().map(|row| self.of_row(row)) }
    }

    fn step<'a>(
        &'a self,
        reads: &'a Reads,
        cursor: &'a mut Position,
        limit: usize,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Step<TagPerformance>, Error>> {
        Box::pin(async move {
            if cursor.generation != self.generation && !is_kept(reads, cursor.generation, deadline).await? {
                return Err(Error::TokenInvalid("resume_token"));
            }
            let limit = limit.min(MAX_ROWS);
            let rows = self.page(reads, cursor, limit, deadline).await?;
            let end = rows.len() < limit;
            if let Some(last) = rows.last() {
                cursor.last = Some(self.of_row(last));
            }
            Ok(Step { rows, end })
        })
    }
}

/// The rows of some tags, by tag and currency.
///
/// # Errors
/// [`Error::TooManyRows`] beyond `max_rows`; the errors of the database.
pub async fn of_tags(
    reads: &Reads,
    generation: i64,
    tag_uids: &[String],
    max_rows: usize,
    deadline: Deadline,
) -> Result<Vec<TagPerformance>, Error> {
    let rows = Rows {
        generation,
        tag_uids: tag_uids.to_vec(),
        category_names: Vec::new(),
        currency_code: None,
        top_per_category: 0,
        measure: None,
        descending: false,
    };
    let found = rows.page(reads, &rows.start(), max_rows + 1, deadline).await?;
    if found.len() > max_rows { Err(Error::TooManyRows(max_rows)) } else { Ok(found) }
}

/// The rows of some tags together: a row for each currency, and one without. Each product counts once.
///
/// # Errors
/// The errors of the database.
pub async fn combined(
    reads: &Reads,
    generation: i64,
    tag_uids: &[String],
    deadline: Deadline,
) -> Result<Vec<TagPerformance>, Error> {
    let sums: Vec<String> = MEASURES.iter().skip(1).map(|column| format!("sum(p.{column})::text")).collect();
    let sql = format!(
        "with products as materialized (
    select distinct t.product_uid from records.link_product_tag as t where t.tag_uid = any ($2)
)
select '', '', '', p.currency_code, count(*)::text, {}, p.metric_name, sum(p.value)::text
  from products as l
  join records.product_performance as p on p.product_uid = l.product_uid and p.generation = $1
 group by p.currency_code, p.metric_name",
        sums.join(", ")
    );
    let select = Statement::new(sql, reads.limits().max_query_rows).bind(generation)?;
    let select = select.bind(ArrayParameter::texts(tag_uids))?;
    let mut rows: BTreeMap<String, TagPerformance> = BTreeMap::new();
    let mut totals: HashMap<String, String> = HashMap::new();
    for row in reads.fetch(&select, deadline).await? {
        let metric_name: String = row.try_get(13)?;
        if metric_name.is_empty() {
            let found = performance(&row)?;
            rows.insert(found.currency_code.clone(), found);
        } else {
            totals.insert(metric_name, row.try_get(14)?);
        }
    }
    let count =
        "select count(distinct t.product_uid)\n  from records.link_product_tag as t\n where t.tag_uid = any ($1)";
    let count = Statement::new(count, 1).bind(ArrayParameter::texts(tag_uids))?;
    let count = reads.fetch(&count, deadline).await?;
    let zero = || "0".to_owned();
    let whole = TagPerformance {
        product_count: count.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default(),
        units: zero(),
        units_7d: zero(),
        units_30d: zero(),
        units_90d: zero(),
        gross: zero(),
        gross_7d: zero(),
        gross_30d: zero(),
        gross_90d: zero(),
        metric_totals: totals,
        ..TagPerformance::default()
    };
    rows.insert(String::new(), whole);
    Ok(rows.into_values().collect())
}
