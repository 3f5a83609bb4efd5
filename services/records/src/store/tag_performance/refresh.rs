//! The SQL of a rebuild. Every step writes rows and moves the rebuild's cursor in one transaction. Rows are added to
//! what is there, so that the rows of a product or tag may come in several steps.

use orrery_kit::db::array::ArrayParameter;
use orrery_kit::db::{Statement, Transaction};
use orrery_kit::error::Error;
use orrery_proto::catalog::v1::ProductMetric;
use orrery_proto::orders::v1::ProductSales;
use sqlx::Row as _;

use super::RECENT_DAYS;

/// The most links that one step sums up.
const LINKS_AT_ONCE: usize = 50_000;
/// How many rows of old generations one step deletes at most, about.
const ROWS_AT_ONCE: usize = 20_000;

/// The parameters of a rebuild.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The last day that counts.
    pub day_as_of: String,
    /// The time zone in which days begin.
    pub time_zone: String,
}

/// A part of a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Sales are read.
    Sales,
    /// Metrics are read.
    Metrics,
    /// The sums of tags are computed.
    Tags,
    /// The generation is to become the current one.
    Publish,
}

impl Part {
    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Metrics => "metrics",
            Self::Tags => "tags",
            Self::Publish => "publish",
        }
    }

    /// The part of that name; `None` if there is none.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Sales, Self::Metrics, Self::Tags, Self::Publish].into_iter().find(|part| part.name() == name)
    }
}

/// A rebuild as one caller continues it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuild {
    /// Its number.
    pub generation: i64,
    /// The part that is under way.
    pub part: Part,
    /// Where that part continues: a resume token, or the last link.
    pub cursor: String,
    /// How many sales, metrics and links were processed.
    pub processed: i64,
    /// The number of this caller.
    fence: i64,
}

impl Rebuild {
    /// A rebuild that was continued before, with its [`fence`](Self::fence).
    pub fn of((generation, fence): (i64, i64), part: Part, cursor: String, processed: i64) -> Self {
        Self { generation, part, cursor, processed, fence }
    }

    /// The number of this caller: it grows with each one that takes the rebuild over.
    pub fn fence(&self) -> i64 {
        self.fence
    }

    /// The rebuild after some more rows.
    #[must_use]
    pub fn moved(&self, part: Part, cursor: String, rows: usize) -> Self {
        Self { part, cursor, processed: self.processed + rows as i64, ..self.clone() }
    }
}

/// Which day it is in a time zone; no row if the time zone is unknown.
///
/// # Errors
/// [`Error::Internal`] if a parameter cannot be encoded.
pub fn today(time_zone: &str) -> Result<Statement, Error> {
    let sql = "select (now() at time zone z.name)::date::text\n  from pg_timezone_names as z\n where z.name = $1";
    Statement::new(sql, 1).bind(time_zone)
}

/// Continues the rebuild that is under way, or begins one. A rebuild with other parameters is abandoned.
///
/// # Errors
/// [`Error::TransactionConflict`] if another caller begins one at the same time; the errors of the database.
pub async fn begin(transaction: &mut Transaction<'_>, parameters: &Parameters) -> Result<Rebuild, Error> {
    let Parameters { day_as_of, time_zone } = parameters;
    let abandon = "update records.tag_performance_refresh as t
   set phase = 'abandoned', update_ts = now()
 where t.phase = 'running'
   and (t.day_as_of, t.time_zone) is distinct from ($1, $2)";
    transaction.write(Statement::new(abandon, 1_000).bind(day_as_of)?.bind(time_zone)?).await?;
    let take_over = "update records.tag_performance_refresh as t
   set fence = t.fence + 1, update_ts = now()
 where t.phase = 'running'
returning t.generation, t.step, t.cursor, t.processed, t.fence";
    let running = transaction.write(Statement::new(take_over, 1_000)).await?;
    if let Some(row) = running.last() {
        let step: String = row.try_get(1)?;
        let part = Part::of_name(&step).ok_or_else(|| Error::internal(format!("a rebuild has no part {step}")))?;
        let (cursor, processed, fence) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
        return Ok(Rebuild { generation: row.try_get(0)?, part, cursor, processed, fence });
    }
    // One statement, and so one snapshot: who does not see the rebuild that another caller began computes its number,
    // and is refused for that.
    let insert = "insert into records.tag_performance_refresh as t (generation, phase, step, day_as_of, time_zone)
select coalesce(max(r.generation), 0) + 1, 'running', 'sales', $1, $2
  from records.tag_performance_refresh as r
having count(*) filter (where r.phase = 'running') = 0
returning generation";
    let insert = Statement::new(insert, 1).bind(day_as_of)?.bind(time_zone)?;
    let inserted = match transaction.write(insert).await {
        Err(Error::RowRefused(refusal)) => return Err(Error::TransactionConflict(refusal.cause)),
        inserted => inserted?,
    };
    // Another caller began one after the statement above: it is to be continued.
    let Some(row) = inserted.first() else { return Err(Error::TransactionConflict(sqlx::Error::RowNotFound)) };
    let generation = row.try_get(0)?;
    Ok(Rebuild { generation, part: Part::Sales, cursor: String::new(), processed: 0, fence: 1 })
}

/// Moves a rebuild to `next`, in the transaction that wrote what it passed.
///
/// # Errors
/// [`Error::WriteTakenOver`] if another caller continues it; the errors of the database.
pub async fn advance(transaction: &mut Transaction<'_>, next: &Rebuild) -> Result<(), Error> {
    let sql = "update records.tag_performance_refresh as t
   set step = $3, cursor = $4, processed = $5, update_ts = now()
 where t.generation = $1
   and t.fence = $2
   and t.phase = 'running'
returning 1";
    let update = Statement::new(sql, 1).bind(next.generation)?.bind(next.fence)?;
    let update = update.bind(next.part.name())?.bind(&next.cursor)?.bind(next.processed)?;
    if transaction.write(update).await?.is_empty() { Err(Error::WriteTakenOver) } else { Ok(()) }
}

/// Gives a rebuild up, so that another one can begin.
///
/// # Errors
/// As [`advance`].
pub async fn abandon(transaction: &mut Transaction<'_>, rebuild: &Rebuild) -> Result<(), Error> {
    let sql = "update records.tag_performance_refresh as t
   set phase = 'abandoned', update_ts = now()
 where t.generation = $1
   and t.fence = $2
   and t.phase = 'running'
returning 1";
    let update = Statement::new(sql, 1).bind(rebuild.generation)?.bind(rebuild.fence)?;
    if transaction.write(update).await?.is_empty() { Err(Error::WriteTakenOver) } else { Ok(()) }
}

/// The columns of sums, in the order of [`SUMS`].
const COLUMNS: &str = "units, gross, units_7d, gross_7d, units_30d, gross_30d, units_90d, gross_90d, value";

/// What is added where a row is there already.
const ADDED: &str = "set units = t.units + excluded.units, gross = t.gross + excluded.gross,
       units_7d = t.units_7d + excluded.units_7d, gross_7d = t.gross_7d + excluded.gross_7d,
       units_30d = t.units_30d + excluded.units_30d, gross_30d = t.gross_30d + excluded.gross_30d,
       units_90d = t.units_90d + excluded.units_90d, gross_90d = t.gross_90d + excluded.gross_90d,
       value = t.value + excluded.value";

/// Adds sales, each of one product and currency in the whole period, with those of the [`RECENT_DAYS`].
///
/// # Errors
/// [`Error::Internal`] if the sales have other recent days, or if a parameter cannot be encoded.
pub fn add_sales(generation: i64, sales: &[ProductSales]) -> Result<Statement, Error> {
    if sales.iter().any(|sale| !sale.recent.iter().map(|recent| recent.days).eq(RECENT_DAYS)) {
        return Err(Error::internal("the orders service does not know recent_days"));
    }
    let sql = format!(
        "insert into records.product_performance as t (product_uid, generation, currency_code, {COLUMNS})
select i.product_uid, $1, i.currency_code, i.units, i.gross, i.units_7d, i.gross_7d, i.units_30d, i.gross_30d,
       i.units_90d, i.gross_90d, 0
  from unnest($2::text[], $3::text[], $4::bigint[], $5::text[]::numeric[], $6::bigint[], $7::text[]::numeric[],
              $8::bigint[], $9::text[]::numeric[], $10::bigint[], $11::text[]::numeric[])
       as i (product_uid, currency_code, units, gross, units_7d, gross_7d, units_30d, gross_30d, units_90d, gross_90d)
    on conflict (product_uid, generation, currency_code, metric_name) do update
   {ADDED}"
    );
    let texts = |of: fn(&ProductSales) -> &String| ArrayParameter::texts(sales.iter().map(of));
    let units: Vec<i64> = sales.iter().map(|sale| sale.units).collect();
    let mut statement = Statement::new(sql, sales.len())
        .bind(generation)?
        .bind(texts(|sale| &sale.product_uid))?
        .bind(texts(|sale| &sale.currency_code))?
        .bind(units)?
        .bind(texts(|sale| &sale.gross))?;
    for nth in 0..RECENT_DAYS.len() {
        let recent = || sales.iter().filter_map(|sale| sale.recent.get(nth));
        let units: Vec<i64> = recent().map(|recent| recent.units).collect();
        statement = statement.bind(units)?.bind(ArrayParameter::texts(recent().map(|recent| &recent.gross)))?;
    }
    Ok(statement)
}

/// Adds metrics of products.
///
/// # Errors
/// As [`add_sales`].
pub fn add_metrics(generation: i64, metrics: &[ProductMetric]) -> Result<Statement, Error> {
    let sql = "insert into records.product_performance as t (product_uid, generation, metric_name, value)
select i.product_uid, $4, i.name, i.value
  from unnest($1::text[], $2::text[], $3::text[]::numeric[]) as i (product_uid, name, value)
    on conflict (product_uid, generation, currency_code, metric_name) do update
   set value = excluded.value";
    let texts = |of: fn(&ProductMetric) -> &String| ArrayParameter::texts(metrics.iter().map(of));
    Statement::new(sql, metrics.len())
        .bind(texts(|metric| &metric.product_uid))?
        .bind(texts(|metric| &metric.name))?
        .bind(texts(|metric| &metric.value))?
        .bind(generation)
}

/// The links that one step sums up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The last link before it: tag and product; empty texts for the beginning.
    pub after: (String, String),
    /// Its last link.
    pub last: (String, String),
    /// How many links it has.
    pub links: i64,
}

impl Window {
    /// What a cursor keeps of its end.
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be encoded.
    pub fn cursor(&self) -> Result<String, Error> {
        serde_json::to_string(&self.last).map_err(Error::internal)
    }
}

/// The next links after a cursor; `None` at the end.
///
/// # Errors
/// The errors of the database.
pub async fn window(transaction: &mut Transaction<'_>, cursor: &str) -> Result<Option<Window>, Error> {
    let after: (String, String) = match cursor {
        "" => Default::default(),
        cursor => serde_json::from_str(cursor).map_err(Error::internal)?,
    };
    let sql = "select w.tag_uid, w.product_uid, w.links
  from (select t.tag_uid, t.product_uid, row_number() over (order by t.tag_uid, t.product_uid) as links
          from records.link_product_tag as t
         where (t.tag_uid, t.product_uid) > ($1, $2)
         order by t.tag_uid, t.product_uid
         limit $3) as w
 order by w.links desc
 limit 1";
    let most = LINKS_AT_ONCE.min(transaction.max_statement_rows());
    let select = Statement::new(sql, 1).bind(&after.0)?.bind(&after.1)?.bind(most as i64)?;
    let found = transaction.fetch(select).await?;
    let Some(row) = found.first() else { return Ok(None) };
    Ok(Some(Window { after, last: (row.try_get(0)?, row.try_get(1)?), links: row.try_get(2)? }))
}

/// Adds the sums of the links of a window, and the number of their products.
///
/// # Errors
/// As [`add_sales`].
pub fn add_links(generation: i64, window: &Window) -> Result<Statement, Error> {
    let sums: Vec<String> = COLUMNS.split(", ").map(|column| format!("sum(p.{column})")).collect();
    let zeros = vec!["0"; sums.len()].join(", ");
    let sql = format!(
        "with links as materialized (
    select l.tag_uid, l.product_uid
      from records.link_product_tag as l
     where (l.tag_uid, l.product_uid) > ($2, $3)
       and (l.tag_uid, l.product_uid) <= ($4, $5)
)
insert into records.tag_performance_aggregate as t
       (tag_uid, generation, currency_code, metric_name, product_count, {COLUMNS})
select l.tag_uid, $1, p.currency_code, p.metric_name, count(*), {}
  from links as l
  join records.product_performance as p on p.product_uid = l.product_uid and p.generation = $1
 group by l.tag_uid, p.currency_code, p.metric_name
 union all
select l.tag_uid, $1, '', '', count(*), {zeros}
  from links as l
 group by l.tag_uid
    on conflict (tag_uid, generation, currency_code, metric_name) do update
   set product_count = t.product_count + excluded.product_count,
       {}",
        sums.join(", "),
        ADDED.trim_start_matches("set ")
    );
    let (after, last) = (&window.after, &window.last);
    Statement::new(sql, usize::try_from(window.links).unwrap_or_default())
        .bind(generation)?
        .bind(&after.0)?
        .bind(&after.1)?
        .bind(&last.0)?
        .bind(&last.1)
}

/// Makes a complete rebuild the current one.
///
/// # Errors
/// As [`advance`].
pub async fn publish(transaction: &mut Transaction<'_>, rebuild: &Rebuild) -> Result<(), Error> {
    // First, so that nothing is retired if the rebuild was taken over.
    advance(transaction, rebuild).await?;
    let retire = "update records.tag_performance_refresh as t\n   set phase = 'retired', update_ts = now()\n where t.phase = 'current'";
    transaction.write(Statement::new(retire, 1_000)).await?;
    let sql = "update records.tag_performance_refresh as t
   set phase = 'current', update_ts = now(), finish_ts = now()
 where t.generation = $1
   and t.fence = $2
   and t.phase = 'running'
returning 1";
    let update = Statement::new(sql, 1).bind(rebuild.generation)?.bind(rebuild.fence)?;
    if transaction.write(update).await?.is_empty() { Err(Error::WriteTakenOver) } else { Ok(()) }
}

/// A table with rows of generations, and the first column of its key.
pub const GENERATIONS: [(&str, &str); 2] =
    [("records.product_performance", "product_uid"), ("records.tag_performance_aggregate", "tag_uid")];

/// Deletes rows of generations that nobody reads any more: those before the one that preceded `current`, and abandoned
/// ones. Goes on after `after`, and returns where to go on; `None` at the end.
///
/// # Errors
/// The errors of the database.
pub async fn delete_old(
    transaction: &mut Transaction<'_>,
    (table, key): (&str, &str),
    current: i64,
    after: &str,
) -> Result<Option<String>, Error> {
    let kept = "select t.generation from records.tag_performance_refresh as t
 where t.phase in ('current', 'retired', 'running') and t.generation <= $1
 order by t.generation desc
 limit 2";
    let kept = transaction.fetch(Statement::new(kept, 2).bind(current)?).await?;
    let kept: Vec<i64> = kept.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let rows = ROWS_AT_ONCE.min(transaction.max_statement_rows());
    let last =
        format!("select t.{key} from {table} as t where t.{key} > $1 order by t.{key} offset {} limit 1", rows - 1);
    let last = transaction.fetch(Statement::new(last, 1).bind(after)?).await?;
    let last: Option<String> = last.first().map(|row| row.try_get(0)).transpose()?;
    let up_to = if last.is_some() { format!("\n   and t.{key} <= $4") } else { String::new() };
    let sql = format!(
        "delete from {table} as t\n where t.{key} > $1\n   and t.generation < $2\n   and t.generation <> all ($3){up_to}"
    );
    let mut delete = Statement::new(sql, rows).bind(after)?.bind(current)?.bind(kept)?;
    if let Some(last) = &last {
        delete = delete.bind(last)?;
    }
    transaction.write(delete).await?;
    Ok(last)
}
