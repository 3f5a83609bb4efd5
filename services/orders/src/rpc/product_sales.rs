//! StreamProductSales: sold units per product, day and currency.

use std::time::Instant;

use chrono::{Datelike as _, NaiveDate};
use orrery_kit::collection::Messages;
use orrery_kit::context::{Call, Context, Reads};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::page_token::Scope;
use orrery_kit::read::stream::page_rows;
use orrery_proto::orders::v1::{ProductSales, StreamProductSalesRequest};
use orrery_proto::requests;
use orrery_proto::wire::Encoded;
use prost::Message as _;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response};

use crate::lifecycle::SOLD_PHASES;
use crate::store::product_sales::{
    SalesCursor, SalesPeriod, SalesPosition, SalesStep, knows_time_zone, orders_in, step,
};

/// Maximum number of days from the first day to the last.
const MAX_DAYS: i64 = 3_660;
/// Maximum length of a time zone's name.
const MAX_ZONE_BYTES: usize = 64;
/// The default time zone.
const UTC: &str = "UTC";
/// The first part of a sealed position: the products are read in windows.
const WINDOWED: &[u8] = b"w";
/// The first part of a sealed position: they are not.
const PLAIN: &[u8] = b"p";

pub(super) async fn stream(
    context: &Context,
    request: Request<StreamProductSalesRequest>,
) -> Result<Response<Messages<Encoded>>, Error> {
    let call = Call::of(&request)?;
    let reads = context.reads(&call);
    let requests::Stream { method, filter, page_size, resume_token, .. } = request.into_inner().into();
    let max_rows = page_rows(page_size)?;
    let period = period(&reads, &filter.message.unwrap_or_default(), call.deadline).await?;
    let scope = Scope::new(method, &filter.encoded, "");
    let mut cursor = open(&reads, &scope, &resume_token, call.deadline).await?;
    Ok(Response::new(Box::pin(async_stream::try_stream! {
        let interval = reads.stream.progress_interval;
        let page_bytes = call.answers.page_bytes(reads.stream.page_bytes);
        let mut silent_since = Instant::now();
        loop {
            let reading = tokio::spawn(read(reads.clone(), period.clone(), cursor.clone(), call.deadline));
            let mut reading = AbortOnDropHandle::new(reading);
            // One step may take long, or many steps may find nothing. Meanwhile the caller is told the position of the
            // stream.
            let (SalesStep { rows, end }, passed) = loop {
                let left = interval.saturating_sub(silent_since.elapsed());
                let read = tokio::time::timeout(left, call.draining.unless_draining(&mut reading)).await;
                if let Ok(Some(read)) = read {
                    break read.unwrap_or_else(|panic| Err(Error::internal(panic)))?;
                }
                yield call.answers.checked(page(&reads, &scope, &[], &cursor, call.deadline).await?)?;
                if call.draining.has_begun() {
                    reading.abort();
                    Err(Error::Draining)?;
                }
                silent_since = Instant::now();
            };
            if rows.is_empty() && !end && call.draining.has_begun() {
                yield call.answers.checked(page(&reads, &scope, &[], &passed, call.deadline).await?)?;
                Err(Error::Draining)?;
            }
            let mut rest = rows.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(fitting(rest, max_rows, page_bytes));
                rest = later;
                let mut reached = passed.clone();
                if !rest.is_empty() {
                    reached.position = now.last().map(SalesPosition::of);
                }
                call.rows.add(now.len() as u64);
                yield call.answers.checked(page(&reads, &scope, now, &reached, call.deadline).await?)?;
                silent_since = Instant::now();
                if call.draining.has_begun() && !(end && rest.is_empty()) {
                    Err(Error::Draining)?;
                }
            }
            if end {
                return;
            }
            cursor = passed;
        }
    })))
}

/// Runs the next step.
async fn read(
    reads: Reads,
    period: SalesPeriod,
    mut cursor: SalesCursor,
    deadline: Deadline,
) -> Result<(SalesStep, SalesCursor), Error> {
    if deadline.expired() {
        return Err(Error::DeadlineExceeded);
    }
    let before = cursor.clone();
    let read = step(&reads, &period, &mut cursor, deadline);
    if let Some(outcome) = reads.attempt_read(read).await {
        return Ok((outcome?, cursor));
    }
    cursor = before;
    let step = step(&reads, &period, &mut cursor, deadline).await?;
    Ok((step, cursor))
}

/// How many rows fit into a message: at least one.
fn fitting(rows: &[ProductSales], max_rows: usize, max_bytes: usize) -> usize {
    let mut bytes = 0;
    let fits = |row: &&ProductSales| {
        bytes += row.encoded_len() + 4;
        bytes <= max_bytes
    };
    rows.iter().take(max_rows).take_while(fits).count().max(1)
}

async fn page(
    reads: &Reads,
    scope: &Scope,
    rows: &[ProductSales],
    cursor: &SalesCursor,
    deadline: Deadline,
) -> Result<Encoded, Error> {
    let mut body = Vec::new();
    for row in rows {
        prost::encoding::message::encode(1, row, &mut body);
    }
    let mut parts: Vec<&[u8]> = vec![if cursor.window.is_some() { WINDOWED } else { PLAIN }];
    if let Some(SalesPosition { product_uid, rest }) = &cursor.position {
        parts.push(product_uid.as_bytes());
        parts.extend(rest.iter().flat_map(|(day, currency)| [day.as_bytes(), currency.as_bytes()]));
    }
    let tail = reads.tokens.seal(scope, &parts, deadline).await?;
    Ok(Encoded { rows: rows.len() as u64, body: body.into(), tail })
}

/// The cursor in a token. An empty token means the beginning.
async fn open(reads: &Reads, scope: &Scope, token: &str, deadline: Deadline) -> Result<SalesCursor, Error> {
    const FIELD: &str = "resume_token";
    if token.is_empty() {
        return Ok(SalesCursor::at(None, false));
    }
    let parts = reads.tokens.open(scope, FIELD, token, deadline).await?;
    let texts: Result<Vec<String>, _> = parts.into_iter().map(String::from_utf8).collect();
    let texts = texts.map_err(|_| Error::TokenInvalid(FIELD))?;
    let (windowed, position) = match texts.as_slice() {
        [mode] => (mode, None),
        [mode, product_uid] => (mode, Some(SalesPosition { product_uid: product_uid.clone(), rest: None })),
        [mode, product_uid, day, currency] => (
            mode,
            Some(SalesPosition { product_uid: product_uid.clone(), rest: Some((day.clone(), currency.clone())) }),
        ),
        _ => return Err(Error::TokenInvalid(FIELD)),
    };
    Ok(SalesCursor::at(position, windowed.as_bytes() == WINDOWED))
}

/// Validates the period of a request.
async fn period(reads: &Reads, request: &StreamProductSalesRequest, deadline: Deadline) -> Result<SalesPeriod, Error> {
    let (from, to) = (day("day_from", &request.day_from)?, day("day_to", &request.day_to)?);
    if to < from {
        return Err(Error::invalid("day_to", "is before day_from"));
    }
    if (to - from).num_days() > MAX_DAYS {
        return Err(Error::invalid("day_to", format!("is more than {MAX_DAYS} days after day_from")));
    }
    let time_zone = if request.time_zone.is_empty() { UTC } else { request.time_zone.as_str() };
    let named = time_zone.len() <= MAX_ZONE_BYTES && !time_zone.contains('\0');
    let known = || knows_time_zone(reads, time_zone, deadline);
    if !named || (time_zone != UTC && !reads.read(known).await?) {
        let why = "must be the name of a time zone in the IANA database, such as \"Europe/London\"";
        return Err(Error::invalid("time_zone", why));
    }
    let sold: Vec<String> = SOLD_PHASES.iter().map(|&phase| phase.to_owned()).collect();
    let orders = orders_in(if request.phases.is_empty() { &sold } else { &request.phases })?;
    Ok(SalesPeriod { from, to, time_zone: time_zone.to_owned(), orders })
}

/// Parses a day such as "2011-06-09", of the years 1 to 9999.
fn day(field: &'static str, text: &str) -> Result<NaiveDate, Error> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .filter(|day| day.to_string() == text && day.year() >= 1)
        .ok_or_else(|| Error::invalid(field, "must be a day such as \"2011-06-09\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_one_way() {
        for text in ["2011-06-09", "2012-02-29", "0001-01-01", "9999-12-31"] {
            assert!(day("day_from", text).is_ok_and(|day| day.to_string() == text), "{text}");
        }
        for text in
            ["", "2011-6-9", "2011-02-29", "2011-06-09 ", "+2011-06-09", "0000-01-01", "20110609", "12011-06-09"]
        {
            assert!(day("day_from", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_message_has_as_many_rows_as_fit_and_never_none() {
        let rows = vec![ProductSales { product_uid: "x".repeat(96), ..ProductSales::default() }; 10];
        assert_eq!(fitting(&rows, 3, 10_000), 3);
        assert_eq!(fitting(&rows, 100, 10_000), 10);
        assert_eq!(fitting(&rows, 100, 300), 2);
        assert_eq!(fitting(&rows, 100, 1), 1);
    }
}
