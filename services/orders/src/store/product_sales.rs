//! Sales per product, day and currency, or per product and currency in a whole period: one grouped query over lines and
//! orders for a range of products.
//!
//! A period with few sales is left to the planner, which may start from the orders of those days. If that takes too
//! long or returns too much, the products are read in windows of a certain number of lines. A product with more lines
//! than that is a window of its own.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use futures::future::BoxFuture;
use orrery_kit::context::Reads;
use orrery_kit::db::sql::literal;
use orrery_kit::db::{CopyEnd, CopyRequest};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::read::computed::{Computed, Step};
use orrery_kit::read::filter::Filter;
use orrery_kit::resource::tuple::Columns;
use orrery_proto::orders::v1::{ProductSales, RecentSales};

/// Number of lines in the first window.
const FIRST_WINDOW: usize = 20_000;
/// Number of lines in the largest window.
const LARGEST_WINDOW: usize = 1_000_000;
/// Windows grow while they take less than this, and shrink above four times this.
const WINDOW_TIME: Duration = Duration::from_millis(250);
/// Maximum number of rows of one query: they are all in memory.
const MAX_ROWS: usize = 20_000;
/// Maximum number of sums of one query: a row has one of its own, and one for each of the recent days.
const MAX_SUMS: usize = 60_000;
/// How long the planner may choose: a period with few sales takes less.
const PLAIN_TIME: Duration = Duration::from_secs(2);
/// The sums of lines.
const UNITS: &str = "sum(l.quantity)";
const GROSS: &str = "sum(l.quantity * l.unit_price)";
/// The first part of a token: the products are read in windows.
const WINDOWED: &str = "w";
/// The first part of a token: they are not.
const PLAIN: &str = "p";

/// The validated request.
#[derive(Clone, Debug)]
pub struct SalesPeriod {
    /// The first day.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// The name of a time zone that Postgres knows.
    pub time_zone: String,
    /// Which orders count, as conditions on `t`, the header.
    pub orders: String,
    /// If not empty, a row has the sums of the whole period and of so many last days of it.
    pub recent_days: Vec<i32>,
}

/// A position: the last row that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalesPosition {
    /// Its product.
    pub product_uid: String,
    /// Its day, empty in sums of a period, and its currency; `None` if the whole product was read.
    pub rest: Option<(String, String)>,
}

/// The state of a read between two steps.
#[derive(Clone, Debug)]
pub struct SalesCursor {
    /// The last row that was read; `None` at the beginning.
    pub position: Option<SalesPosition>,
    /// The number of lines in the next window; `None` while the planner chooses the order.
    pub window: Option<usize>,
    /// How many rows to ask for at once.
    limit: usize,
}

impl SalesCursor {
    /// A cursor that continues after a position.
    pub fn at(position: Option<SalesPosition>, windowed: bool) -> Self {
        Self { position, window: windowed.then_some(FIRST_WINDOW), limit: MAX_ROWS }
    }

    /// Reacts to a failed query: read less at once, or give up.
    fn learn_from(&mut self, error: Error, deadline: Deadline) -> Result<(), Error> {
        match (error, self.window) {
            (Error::DeadlineExceeded, None) if !deadline.expired() => self.window = Some(FIRST_WINDOW),
            (Error::DeadlineExceeded, Some(lines)) if !deadline.expired() && lines > 1 => {
                self.window = Some((lines / 8).max(1));
            }
            (error, _) if error.may_be_too_large() && self.limit > 1 => self.limit /= 2,
            (error, _) => return Err(error),
        }
        Ok(())
    }
}

impl SalesPosition {
    /// The position of a row.
    pub fn of(row: &ProductSales) -> Self {
        Self { product_uid: row.product_uid.clone(), rest: Some((row.day.clone(), row.currency_code.clone())) }
    }
}

impl Computed for SalesPeriod {
    type Row = ProductSales;
    type Cursor = SalesCursor;

    fn start(&self) -> SalesCursor {
        SalesCursor::at(None, false)
    }

    fn resume(&self, parts: Vec<String>) -> Option<SalesCursor> {
        let mut parts = parts.into_iter();
        let windowed = parts.next()? == WINDOWED;
        let position = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (None, ..) => None,
            (Some(product_uid), None, ..) => Some(SalesPosition { product_uid, rest: None }),
            (Some(product_uid), Some(day), Some(currency), None) => {
                Some(SalesPosition { product_uid, rest: Some((day, currency)) })
            }
            _ => return None,
        };
        Some(SalesCursor::at(position, windowed))
    }

    fn parts(&self, cursor: &SalesCursor) -> Vec<String> {
        let mut parts = vec![if cursor.window.is_some() { WINDOWED } else { PLAIN }.to_owned()];
        if let Some(SalesPosition { product_uid, rest }) = &cursor.position {
            parts.push(product_uid.clone());
            parts.extend(rest.iter().flat_map(|(day, currency)| [day.clone(), currency.clone()]));
        }
        parts
    }

    fn after(&self, _: &SalesCursor, passed: &SalesCursor, taken: &[ProductSales]) -> SalesCursor {
        SalesCursor { position: taken.last().map(SalesPosition::of), ..passed.clone() }
    }

    fn step<'a>(
        &'a self,
        reads: &'a Reads,
        cursor: &'a mut SalesCursor,
        _limit: usize,
        deadline: Deadline,
    ) -> BoxFuture<'a, Result<Step<ProductSales>, Error>> {
        Box::pin(step(reads, self, cursor, deadline))
    }
}

/// Reads the next rows and moves the cursor after them.
///
/// # Errors
/// [`Error::DeadlineExceeded`] if the caller's deadline passes, or if a single product takes longer than a statement
/// may; errors of the database.
async fn step(
    reads: &Reads,
    period: &SalesPeriod,
    cursor: &mut SalesCursor,
    deadline: Deadline,
) -> Result<Step<ProductSales>, Error> {
    let most = MAX_SUMS / (1 + period.recent_days.len());
    let limit = cursor.limit.min(most).min(reads.limits().max_query_rows);
    let started = Instant::now();
    let read = async {
        // The end of the window: the last product whose lines belong to it.
        let (end, timeout) = match cursor.window {
            None => (None, reads.stream.progress_interval.min(PLAIN_TIME)),
            Some(lines) => (window_end(reads, cursor, lines, deadline).await?, reads.limits().statement_timeout),
        };
        let sales = Sales { period, after: cursor.position.as_ref(), up_to: end.as_deref(), limit };
        Ok((sales.read(reads, timeout, deadline).await?, end))
    };
    let (rows, end) = match read.await {
        Ok(read) => read,
        Err(error) => {
            cursor.learn_from(error, deadline)?;
            return Ok(Step::default());
        }
    };
    let took = started.elapsed();
    if rows.len() == limit {
        cursor.position = rows.last().map(SalesPosition::of);
        cursor.window = match cursor.window {
            Some(lines) => Some((lines / 2).max(1)),
            None => (took > WINDOW_TIME * 4).then_some(FIRST_WINDOW),
        };
        return Ok(Step { rows, end: false });
    }
    let Some(product_uid) = end else {
        cursor.position = rows.last().map(SalesPosition::of).or(cursor.position.take());
        return Ok(Step { rows, end: true });
    };
    cursor.position = Some(SalesPosition { product_uid, rest: None });
    cursor.window = cursor.window.map(|lines| next_window(lines, took, rows.len(), limit));
    Ok(Step { rows, end: false })
}

/// The next window after one of so many lines, which had fewer rows than `limit`. It should have fewer, too, because a
/// query that reaches the limit has read lines in vain.
fn next_window(lines: usize, took: Duration, rows: usize, limit: usize) -> usize {
    if took < WINDOW_TIME {
        let full = lines.saturating_mul(limit) / rows.max(1) / 5 * 4;
        full.min(lines.saturating_mul(2)).clamp(1, LARGEST_WINDOW)
    } else if took > WINDOW_TIME * 4 {
        (lines / 2).max(1)
    } else {
        lines
    }
}

/// The product of the line that is `lines` lines after the cursor, in the order of products; `None` if there are fewer.
async fn window_end(
    reads: &Reads,
    cursor: &SalesCursor,
    lines: usize,
    deadline: Deadline,
) -> Result<Option<String>, Error> {
    let after = cursor.position.as_ref().map_or("l.product_uid is not null".to_owned(), after);
    let select = format!(
        "select l.product_uid from orders.order_line_item as l where {after} \
         order by l.product_uid, l.order_uid offset {} limit 1",
        lines - 1
    );
    let mut found = None;
    let timeout = reads.limits().statement_timeout;
    let end = reads
        .copy_out(CopyRequest { select: &select, timeout, deadline }, |tuple| {
            found = Columns::new(tuple).next().flatten().map(text);
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    match end {
        CopyEnd::Broken(error) => Err(error),
        CopyEnd::Whole | CopyEnd::Stopped => Ok(found),
    }
}

/// The condition for lines of products that were not read completely.
fn after(position: &SalesPosition) -> String {
    let sign = if position.rest.is_some() { ">=" } else { ">" };
    format!("l.product_uid {sign} {}", literal(&position.product_uid))
}

/// One grouped query.
struct Sales<'a> {
    period: &'a SalesPeriod,
    after: Option<&'a SalesPosition>,
    up_to: Option<&'a str>,
    limit: usize,
}

impl Sales<'_> {
    fn sql(&self) -> String {
        let SalesPeriod { from, to, time_zone, orders, recent_days } = self.period;
        let zone = literal(time_zone);
        let day = format!("(t.create_ts at time zone {zone})::date");
        let midnight = |date: &NaiveDate| format!("(date '{date}')::timestamp at time zone {zone}");
        let (day_key, day_text, order, places) = if recent_days.is_empty() {
            let order = "s.product_uid, s.day, s.currency_code";
            (format!("{day} as day, "), "to_char(s.day, 'YYYY-MM-DD'), ", order, "1, 2, 3")
        } else {
            (String::new(), "", "s.product_uid, s.currency_code", "1, 2")
        };
        let recent = |nth: usize, days: &i32| {
            let sum = |sum| format!("coalesce({sum} filter (where {day} > date '{to}' - {days}), 0)");
            format!(",\n               {} as units_{nth}, {} as gross_{nth}", sum(UNITS), sum(GROSS))
        };
        let recent_sums =
            recent_days.iter().enumerate().map(|(nth, days)| recent(nth, days)).collect::<Vec<_>>().concat();
        let recent_texts = (0..recent_days.len())
            .map(|nth| format!(", s.units_{nth}, s.gross_{nth}::text"))
            .collect::<Vec<_>>()
            .concat();
        // The range lets the index be used, and is one day too wide on both sides: only the conditions on the day are
        // exact where a clock is put back at midnight. The planner knows nothing about days. Written as a range, it
        // would expect one order in 200 to match, and read all lines of all orders for each window.
        format!(
            "select s.product_uid, {day_text}s.currency_code, s.orders, s.units, s.gross::text{recent_texts}
  from (select l.product_uid, {day_key}t.currency_code,
               count(distinct l.order_uid) as orders, {UNITS} as units, {GROSS} as gross{recent_sums}
          from orders.order_line_item as l
          join orders.order_header as t on t.uid = l.order_uid
         where {}
           and t.create_ts >= {} - interval '1 day'
           and t.create_ts <  {} + interval '2 days'
           and ({day} < date '{from}') is not true
           and ({day} > date '{to}') is not true
           and {orders}
         group by {places}
         order by {places}
         limit {}) as s
 order by {order}",
            self.lines(&day).join(" and "),
            midnight(from),
            midnight(to),
            self.limit
        )
    }

    /// The conditions on lines.
    fn lines(&self, day: &str) -> Vec<String> {
        let mut lines = vec![self.after.map_or("l.product_uid is not null".to_owned(), after)];
        if let Some(product_uid) = self.up_to {
            lines.push(format!("l.product_uid <= {}", literal(product_uid)));
        }
        if let Some(SalesPosition { product_uid, rest: Some((day_passed, currency)) }) = self.after {
            let (product_uid, currency) = (literal(product_uid), literal(currency));
            lines.push(if self.period.recent_days.is_empty() {
                let day_passed = literal(day_passed);
                format!("(l.product_uid, {day}, t.currency_code) > ({product_uid}, date {day_passed}, {currency})")
            } else {
                format!("(l.product_uid, t.currency_code) > ({product_uid}, {currency})")
            });
        }
        lines
    }

    async fn read(&self, reads: &Reads, timeout: Duration, deadline: Deadline) -> Result<Vec<ProductSales>, Error> {
        let mut rows = Vec::new();
        let recent_days = &self.period.recent_days;
        let select = self.sql();
        let end = reads
            .copy_out(CopyRequest { select: &select, timeout, deadline }, |tuple| {
                rows.push(sales(tuple, recent_days));
                Ok(ControlFlow::Continue(()))
            })
            .await?;
        match end {
            CopyEnd::Broken(error) => Err(error),
            CopyEnd::Whole | CopyEnd::Stopped => Ok(rows),
        }
    }
}

fn sales(tuple: &[u8], recent_days: &[i32]) -> ProductSales {
    let mut columns = Columns::new(tuple).map(Option::unwrap_or_default);
    let mut next = || columns.next().unwrap_or_default();
    ProductSales {
        product_uid: text(next()),
        day: if recent_days.is_empty() { text(next()) } else { String::new() },
        currency_code: text(next()),
        orders: integer(next()),
        units: integer(next()),
        gross: text(next()),
        recent: recent_days
            .iter()
            .map(|&days| RecentSales { days, units: integer(next()), gross: text(next()) })
            .collect(),
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

fn integer(value: &[u8]) -> i64 {
    value.try_into().map_or(0, i64::from_be_bytes)
}

/// Whether the database knows a time zone of this name.
///
/// # Errors
/// Errors of the database.
pub async fn knows_time_zone(reads: &Reads, name: &str, deadline: Deadline) -> Result<bool, Error> {
    let select = format!("select from pg_catalog.pg_timezone_names as z where z.name = {}", literal(name));
    let mut known = false;
    let timeout = reads.limits().statement_timeout;
    let end = reads
        .copy_out(CopyRequest { select: &select, timeout, deadline }, |_| {
            known = true;
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    match end {
        CopyEnd::Broken(error) => Err(error),
        CopyEnd::Whole | CopyEnd::Stopped => Ok(known),
    }
}

/// The conditions on the orders that count.
///
/// # Errors
/// [`Error::Invalid`] for `phases`.
pub fn orders_in(phases: &[String]) -> Result<String, Error> {
    Ok(Filter::default().phases("phases", "status", phases).checked()?.sql())
}
