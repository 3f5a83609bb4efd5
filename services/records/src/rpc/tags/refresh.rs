//! RefreshTagPerformanceAggregate: reads sales from Orders and metrics from Catalog, and sums them up for each tag.

use std::sync::Arc;

use chrono::NaiveDate;
use futures::future::BoxFuture;
use orrery_kit::collection::Messages;
use orrery_kit::context::{Call, Context, Writes};
use orrery_kit::db::retry::retried;
use orrery_kit::db::{Transaction, TransactionEnd};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_peers::{CatalogClient, OrdersClient};
use orrery_proto::catalog::v1::StreamProductMetricsRequest;
use orrery_proto::orders::v1::StreamProductSalesRequest;
use orrery_proto::records::v1::{
    RefreshStep, RefreshTagPerformanceAggregateRequest, RefreshTagPerformanceAggregateResponse,
};
use sqlx::Row as _;
use tonic::{Request, Response};

use crate::store::tag_performance::RECENT_DAYS;
use crate::store::tag_performance::refresh::{
    GENERATIONS, Parameters, Part, Rebuild, add_links, add_metrics, add_sales, advance, begin, delete_old, publish,
    today, window,
};

/// How many days up to the last one are summed up: as many as StreamProductSales takes.
const DAYS: i64 = 3_660;
/// Maximum length of a time zone's name.
const MAX_ZONE_BYTES: usize = 64;

/// The services that a rebuild reads from.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    pub(super) catalog: CatalogClient,
    pub(super) orders: OrdersClient,
}

type Progress = RefreshTagPerformanceAggregateResponse;

pub(super) fn refresh(
    context: &Context,
    sources: &Sources,
    request: Request<RefreshTagPerformanceAggregateRequest>,
) -> Result<Response<Messages<Progress>>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let request = checked(request.into_inner())?;
    let sources = sources.clone();
    Ok(Response::new(Box::pin(async_stream::try_stream! {
        let parameters = parameters(&writes, request, call.deadline).await?;
        let begun = parameters.clone();
        let mut rebuild = step(&writes, &call, move |transaction| {
            let parameters = begun.clone();
            Box::pin(async move { begin(transaction, &parameters).await })
        })
        .await?;
        yield progress(&rebuild);
        if rebuild.part == Part::Sales {
            let (last, time_zone) = (day(&parameters.day_as_of)?, parameters.time_zone.clone());
            let request = StreamProductSalesRequest {
                day_from: (last - chrono::Duration::days(DAYS)).to_string(),
                day_to: last.to_string(),
                time_zone,
                resume_token: rebuild.cursor.clone(),
                recent_days: RECENT_DAYS.to_vec(),
                ..StreamProductSalesRequest::default()
            };
            let mut pages = sources.orders.stream_product_sales(request, call.deadline);
            while let Some(page) = call.draining.step(pages.next()).await? {
                let next = rebuild.moved(Part::Sales, page.resume_token, page.product_sales.len());
                let sales = Arc::new(page.product_sales);
                rebuild = commit(&writes, &call, next, move |transaction, generation| {
                    let sales = Arc::clone(&sales);
                    Box::pin(async move {
                        if !sales.is_empty() {
                            transaction.write(add_sales(generation, &sales)?).await?;
                        }
                        Ok(())
                    })
                })
                .await?;
                yield progress(&rebuild);
            }
            rebuild = commit_nothing(&writes, &call, rebuild.moved(Part::Metrics, String::new(), 0)).await?;
        }
        if rebuild.part == Part::Metrics {
            let resume_token = rebuild.cursor.clone();
            let request = StreamProductMetricsRequest { resume_token, ..StreamProductMetricsRequest::default() };
            let mut pages = sources.catalog.stream_product_metrics(request, call.deadline);
            while let Some(page) = call.draining.step(pages.next()).await? {
                let next = rebuild.moved(Part::Metrics, page.resume_token, page.product_metrics.len());
                let metrics = Arc::new(page.product_metrics);
                rebuild = commit(&writes, &call, next, move |transaction, generation| {
                    let metrics = Arc::clone(&metrics);
                    Box::pin(async move {
                        if !metrics.is_empty() {
                            transaction.write(add_metrics(generation, &metrics)?).await?;
                        }
                        Ok(())
                    })
                })
                .await?;
                yield progress(&rebuild);
            }
            rebuild = commit_nothing(&writes, &call, rebuild.moved(Part::Tags, String::new(), 0)).await?;
        }
        while rebuild.part == Part::Tags {
            rebuild = sum_up_some(&writes, &call, rebuild).await?;
            yield progress(&rebuild);
        }
        let published = rebuild.clone();
        step(&writes, &call, move |transaction| {
            let rebuild = published.clone();
            Box::pin(async move { publish(transaction, &rebuild).await })
        })
        .await?;
        delete_old_generations(&writes, &call, rebuild.generation).await?;
        call.rows.add(rebuild.processed.unsigned_abs());
        yield Progress { step: RefreshStep::Done.into(), ..progress(&rebuild) };
    })))
}

fn progress(rebuild: &Rebuild) -> Progress {
    let step = match rebuild.part {
        Part::Sales => RefreshStep::Sales,
        Part::Metrics => RefreshStep::Metrics,
        Part::Tags | Part::Publish => RefreshStep::Tags,
    };
    Progress { generation: rebuild.generation, step: step.into(), processed: rebuild.processed }
}

/// Runs a transaction, again if it gave way to another one. None begins while the service stops.
async fn step<T, W>(writes: &Writes, call: &Call, work: W) -> Result<T, Error>
where
    T: Send + 'static,
    W: for<'t> Fn(&'t mut Transaction<'_>) -> BoxFuture<'t, Result<T, Error>> + Clone + Send + Sync + 'static,
{
    if call.draining.has_begun() {
        return Err(Error::Draining);
    }
    retried(call.deadline, || {
        let work = work.clone();
        writes.transaction(call.deadline, move |transaction| {
            Box::pin(async move { Ok(TransactionEnd::Commit(work(transaction).await?)) })
        })
    })
    .await
}

/// Writes rows and moves the rebuild in one transaction.
async fn commit<W>(writes: &Writes, call: &Call, next: Rebuild, write: W) -> Result<Rebuild, Error>
where
    W: for<'t> Fn(&'t mut Transaction<'_>, i64) -> BoxFuture<'t, Result<(), Error>> + Clone + Send + Sync + 'static,
{
    step(writes, call, move |transaction| {
        let (next, write) = (next.clone(), write.clone());
        Box::pin(async move {
            // First, so that a caller whose rebuild was taken over waits for nobody.
            advance(transaction, &next).await?;
            write(transaction, next.generation).await?;
            Ok(next)
        })
    })
    .await
}

async fn commit_nothing(writes: &Writes, call: &Call, next: Rebuild) -> Result<Rebuild, Error> {
    commit(writes, call, next, |_, _| Box::pin(async { Ok(()) })).await
}

/// Adds the sums of the next links.
async fn sum_up_some(writes: &Writes, call: &Call, rebuild: Rebuild) -> Result<Rebuild, Error> {
    step(writes, call, move |transaction| {
        let rebuild = rebuild.clone();
        Box::pin(async move {
            let Some(window) = window(transaction, &rebuild.cursor).await? else {
                let next = rebuild.moved(Part::Publish, String::new(), 0);
                advance(transaction, &next).await?;
                return Ok(next);
            };
            let next = rebuild.moved(Part::Tags, window.cursor()?, usize::try_from(window.links).unwrap_or_default());
            advance(transaction, &next).await?;
            transaction.write(add_links(rebuild.generation, &window)?).await?;
            Ok(next)
        })
    })
    .await
}

/// Deletes the generations that nobody reads any more.
async fn delete_old_generations(writes: &Writes, call: &Call, current: i64) -> Result<(), Error> {
    for table in GENERATIONS {
        let mut after = Some(String::new());
        while let Some(start) = after {
            after = step(writes, call, move |transaction| {
                let start = start.clone();
                Box::pin(async move { delete_old(transaction, table, current, &start).await })
            })
            .await?;
        }
    }
    Ok(())
}

/// Checks what can be checked without the database.
fn checked(request: RefreshTagPerformanceAggregateRequest) -> Result<RefreshTagPerformanceAggregateRequest, Error> {
    if request.time_zone.len() > MAX_ZONE_BYTES || request.time_zone.contains('\0') {
        return Err(unknown_zone());
    }
    if !request.day_as_of.is_empty() {
        day(&request.day_as_of)?;
    }
    Ok(request)
}

fn unknown_zone() -> Error {
    Error::invalid("time_zone", "must be the name of a time zone in the IANA database, such as \"Europe/London\"")
}

/// The parameters of a request. The database knows the time zones, and which day it is there.
async fn parameters(
    writes: &Writes,
    request: RefreshTagPerformanceAggregateRequest,
    deadline: Deadline,
) -> Result<Parameters, Error> {
    let RefreshTagPerformanceAggregateRequest { day_as_of, time_zone } = request;
    let time_zone = if time_zone.is_empty() { "UTC".to_owned() } else { time_zone };
    let today = writes.fetch(&today(&time_zone)?, deadline).await?;
    let Some(today) = today.first() else { return Err(unknown_zone()) };
    let day_as_of = if day_as_of.is_empty() { today.try_get(0)? } else { day_as_of };
    Ok(Parameters { day_as_of, time_zone })
}

/// Parses a day such as "2011-12-09", which has as many days before it as are summed up.
fn day(text: &str) -> Result<NaiveDate, Error> {
    let first = NaiveDate::from_ymd_opt(11, 1, 1).unwrap_or_default();
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .filter(|day| day.to_string() == text && *day > first)
        .ok_or_else(|| Error::invalid("day_as_of", "must be a day such as \"2011-12-09\", of the years 12 to 9999"))
}

#[cfg(test)]
mod tests {
    use super::day;

    #[test]
    fn a_day_is_written_one_way() {
        for text in ["2011-12-09", "2012-02-29", "0012-01-01", "9999-12-31"] {
            assert!(day(text).is_ok_and(|day| day.to_string() == text), "{text}");
        }
        for text in ["", "2011-2-9", "2011-02-29", "2011-12-09 ", "0001-01-01", "20111209"] {
            assert!(day(text).is_err(), "{text}");
        }
    }
}
