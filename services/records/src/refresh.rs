//! Rebuilds the performance of tags: reads sales from Orders and metrics from Catalog, and sums them up for each tag.
//!
//! A rebuild is a series of steps. [`Refresh::step`] returns the work of the next one, which runs in a transaction: it
//! writes rows and moves the rebuild. RefreshTagPerformanceAggregate and the procedure of that name run the steps, each
//! in transactions of its own.

use std::mem;
use std::sync::Arc;

use chrono::NaiveDate;
use futures::future::BoxFuture;
use orrery_kit::db::Transaction;
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_peers::{CatalogClient, OrdersClient, Pages};
use orrery_proto::catalog::v1::{StreamProductMetricsRequest, StreamProductMetricsResponse};
use orrery_proto::orders::v1::{StreamProductSalesRequest, StreamProductSalesResponse};
use sqlx::Row as _;

use crate::store::tag_performance::RECENT_DAYS;
use crate::store::tag_performance::refresh::{
    GENERATIONS, Parameters, Part, Rebuild, abandon, add_links, add_metrics, add_sales, advance, begin, delete_old,
    publish, today, window,
};

/// How many days up to the last one are summed up: as many as StreamProductSales takes.
const DAYS: i64 = 3_660;
/// Maximum length of a time zone's name.
const MAX_ZONE_BYTES: usize = 64;
/// How often a rebuild begins anew because another service refuses to go on with a stream.
const RESTARTS: u32 = 3;

/// The services that a rebuild reads from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Products and their metrics.
    pub catalog: CatalogClient,
    /// What was sold.
    pub orders: OrdersClient,
}

/// What a rebuild is asked for. Empty texts mean today, and UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The last day that counts.
    pub day_as_of: String,
    /// The time zone in which days begin.
    pub time_zone: String,
}

impl Asked {
    /// Checks what can be checked without the database. `path` is put before the names of fields.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `day_as_of` or `time_zone`.
    pub fn check(&self, path: &str) -> Result<(), Error> {
        if self.time_zone.len() > MAX_ZONE_BYTES || self.time_zone.contains('\0') {
            return Err(unknown_zone(path));
        }
        if !self.day_as_of.is_empty() {
            day(&self.day_as_of, path)?;
        }
        Ok(())
    }

    /// The parameters of a rebuild that begins now. The database knows the time zones, and which day it is there.
    async fn parameters(&self, transaction: &mut Transaction<'_>, path: &str) -> Result<Parameters, Error> {
        let time_zone = if self.time_zone.is_empty() { "UTC" } else { &self.time_zone };
        let today = transaction.fetch(today(time_zone)?).await?;
        let Some(today) = today.first() else { return Err(unknown_zone(path)) };
        let day_as_of = if self.day_as_of.is_empty() { today.try_get(0)? } else { self.day_as_of.clone() };
        Ok(Parameters { day_as_of, time_zone: time_zone.to_owned() })
    }
}

fn unknown_zone(path: &str) -> Error {
    let why = "must be the name of a time zone in the IANA database, such as \"Europe/London\"";
    Error::invalid(format!("{path}time_zone"), why)
}

/// Parses a day such as "2011-12-09", which has as many days before it as are summed up.
fn day(text: &str, path: &str) -> Result<NaiveDate, Error> {
    let first = NaiveDate::from_ymd_opt(11, 1, 1).unwrap_or_default();
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|day| day.to_string() == text && *day > first).ok_or_else(
        || {
            let why = "must be a day such as \"2011-12-09\", of the years 12 to 9999";
            Error::invalid(format!("{path}day_as_of"), why)
        },
    )
}

/// How far a refresh is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is done.
    Beginning,
    /// A rebuild is under way.
    Rebuilding(Rebuild, Parameters),
    /// The rebuild is published. Generations that nobody reads any more are deleted.
    Cleaning {
        /// The generation that is published.
        generation: i64,
        /// How many sales, metrics and links were processed for it.
        processed: i64,
        /// The table of [`GENERATIONS`] that is cleaned, and after which key.
        place: (usize, String),
    },
    /// Everything is done.
    Done {
        /// The generation that is published.
        generation: i64,
        /// As of [`Stage::Cleaning`].
        processed: i64,
    },
}

/// The work of a step, and what follows it. It may run more than once: again if its transaction gave way to another
/// one. With [`Error::WriteTakenOver`] it has written nothing, and its transaction can go on.
pub type Work = Arc<dyn for<'t> Fn(&'t mut Transaction<'_>) -> BoxFuture<'t, Result<Stage, Error>> + Send + Sync>;

fn work<W>(work: W) -> Work
where
    W: for<'t> Fn(&'t mut Transaction<'_>) -> BoxFuture<'t, Result<Stage, Error>> + Send + Sync + 'static,
{
    Arc::new(work)
}

/// An open stream of another service.
enum Open {
    None,
    Sales(Pages<StreamProductSalesResponse>),
    Metrics(Pages<StreamProductMetricsResponse>),
}

/// Runs refreshes step by step. It remembers the stream that it reads from, and nothing else.
pub struct Refresh {
    sources: Sources,
    asked: Asked,
    path: &'static str,
    deadline: Deadline,
    open: Open,
    restarts: u32,
}

impl Refresh {
    /// A refresh that reads from other services until `deadline`. `path` is put before the names of fields in errors.
    pub fn new(sources: &Sources, asked: Asked, path: &'static str, deadline: Deadline) -> Self {
        Self { sources: sources.clone(), asked, path, deadline, open: Open::None, restarts: 0 }
    }

    /// How often a rebuild has begun anew so far, because another service refused to go on with a stream.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Says that a rebuild has begun anew so often already.
    pub fn set_restarts(&mut self, restarts: u32) {
        self.restarts = restarts;
    }

    /// Reads what the next step needs from other services, and returns its work. It must be called with the stage that
    /// the previous work returned, unless that work failed: then with the same stage again.
    ///
    /// # Errors
    /// As of [`Pages::next`]; [`Error::Internal`] if another service refuses again and again to go on with a stream.
    pub async fn step(&mut self, at: &Stage) -> Result<Work, Error> {
        match at.clone() {
            Stage::Beginning => Ok(self.beginning()),
            Stage::Rebuilding(rebuild, parameters) => match rebuild.part {
                Part::Sales => self.sales(rebuild, parameters).await,
                Part::Metrics => self.metrics(rebuild, parameters).await,
                Part::Tags => Ok(work(move |transaction| {
                    let (rebuild, parameters) = (rebuild.clone(), parameters.clone());
                    Box::pin(
                        async move { Ok(Stage::Rebuilding(sum_up_some(transaction, &rebuild).await?, parameters)) },
                    )
                })),
                Part::Publish => Ok(work(move |transaction| {
                    let rebuild = rebuild.clone();
                    Box::pin(async move {
                        publish(transaction, &rebuild).await?;
                        let Rebuild { generation, processed, .. } = rebuild;
                        Ok(Stage::Cleaning { generation, processed, place: (0, String::new()) })
                    })
                })),
            },
            Stage::Cleaning { generation, processed, place } => Ok(work(move |transaction| {
                let place = place.clone();
                Box::pin(async move {
                    let Some(table) = GENERATIONS.get(place.0) else {
                        return Ok(Stage::Done { generation, processed });
                    };
                    let place = match delete_old(transaction, *table, generation, &place.1).await? {
                        Some(after) => (place.0, after),
                        None if place.0 + 1 == GENERATIONS.len() => return Ok(Stage::Done { generation, processed }),
                        None => (place.0 + 1, String::new()),
                    };
                    Ok(Stage::Cleaning { generation, processed, place })
                })
            })),
            Stage::Done { generation, processed } => {
                Ok(work(move |_| Box::pin(async move { Ok(Stage::Done { generation, processed }) })))
            }
        }
    }

    /// Continues the rebuild that is under way, or begins one.
    fn beginning(&self) -> Work {
        let (asked, path) = (self.asked.clone(), self.path);
        work(move |transaction| {
            let asked = asked.clone();
            Box::pin(async move {
                let parameters = asked.parameters(transaction, path).await?;
                Ok(Stage::Rebuilding(begin(transaction, &parameters).await?, parameters))
            })
        })
    }

    /// Abandons a rebuild and begins a new one with the same parameters.
    fn anew(&mut self, rebuild: Rebuild, parameters: Parameters, refused: Error) -> Result<Work, Error> {
        self.open = Open::None;
        self.restarts += 1;
        if rebuild.cursor.is_empty() || self.restarts > RESTARTS {
            return Err(refused);
        }
        tracing::warn!(
            generation = rebuild.generation,
            error = %refused,
            "the performance of tags is rebuilt from the beginning: another service does not know its token any more"
        );
        Ok(work(move |transaction| {
            let (rebuild, parameters) = (rebuild.clone(), parameters.clone());
            Box::pin(async move {
                abandon(transaction, &rebuild).await?;
                Ok(Stage::Rebuilding(begin(transaction, &parameters).await?, parameters))
            })
        }))
    }

    async fn sales(&mut self, rebuild: Rebuild, parameters: Parameters) -> Result<Work, Error> {
        let mut pages = match mem::replace(&mut self.open, Open::None) {
            Open::Sales(pages) if pages.token() == rebuild.cursor => pages,
            _ => {
                let last = day(&parameters.day_as_of, self.path)?;
                let request = StreamProductSalesRequest {
                    day_from: (last - chrono::Duration::days(DAYS)).to_string(),
                    day_to: last.to_string(),
                    time_zone: parameters.time_zone.clone(),
                    resume_token: rebuild.cursor.clone(),
                    recent_days: RECENT_DAYS.to_vec(),
                    ..StreamProductSalesRequest::default()
                };
                self.sources.orders.stream_product_sales(request, self.deadline)
            }
        };
        let page = match pages.next().await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(moved(rebuild.moved(Part::Metrics, String::new(), 0), parameters)),
            Err(error) if pages.refused_token() => return self.anew(rebuild, parameters, error),
            Err(error) => return Err(error),
        };
        self.open = Open::Sales(pages);
        let next = rebuild.moved(Part::Sales, page.resume_token, page.product_sales.len());
        let sales = Arc::new(page.product_sales);
        Ok(work(move |transaction| {
            let (next, parameters, sales) = (next.clone(), parameters.clone(), Arc::clone(&sales));
            Box::pin(async move {
                // First, so that a caller whose rebuild was taken over waits for nobody.
                advance(transaction, &next).await?;
                for sales in sales.chunks(transaction.max_statement_rows()) {
                    transaction.write(add_sales(next.generation, sales)?).await?;
                }
                Ok(Stage::Rebuilding(next, parameters))
            })
        }))
    }

    async fn metrics(&mut self, rebuild: Rebuild, parameters: Parameters) -> Result<Work, Error> {
        let mut pages = match mem::replace(&mut self.open, Open::None) {
            Open::Metrics(pages) if pages.token() == rebuild.cursor => pages,
            _ => {
                let resume_token = rebuild.cursor.clone();
                let request = StreamProductMetricsRequest { resume_token, ..StreamProductMetricsRequest::default() };
                self.sources.catalog.stream_product_metrics(request, self.deadline)
            }
        };
        let page = match pages.next().await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(moved(rebuild.moved(Part::Tags, String::new(), 0), parameters)),
            Err(error) if pages.refused_token() => return self.anew(rebuild, parameters, error),
            Err(error) => return Err(error),
        };
        self.open = Open::Metrics(pages);
        let next = rebuild.moved(Part::Metrics, page.resume_token, page.product_metrics.len());
        let metrics = Arc::new(page.product_metrics);
        Ok(work(move |transaction| {
            let (next, parameters, metrics) = (next.clone(), parameters.clone(), Arc::clone(&metrics));
            Box::pin(async move {
                advance(transaction, &next).await?;
                for metrics in metrics.chunks(transaction.max_statement_rows()) {
                    transaction.write(add_metrics(next.generation, metrics)?).await?;
                }
                Ok(Stage::Rebuilding(next, parameters))
            })
        }))
    }
}

/// Only moves a rebuild.
fn moved(next: Rebuild, parameters: Parameters) -> Work {
    work(move |transaction| {
        let (next, parameters) = (next.clone(), parameters.clone());
        Box::pin(async move {
            advance(transaction, &next).await?;
            Ok(Stage::Rebuilding(next, parameters))
        })
    })
}

/// Adds the sums of the next links.
async fn sum_up_some(transaction: &mut Transaction<'_>, rebuild: &Rebuild) -> Result<Rebuild, Error> {
    let Some(window) = window(transaction, &rebuild.cursor).await? else {
        let next = rebuild.moved(Part::Publish, String::new(), 0);
        advance(transaction, &next).await?;
        return Ok(next);
    };
    let next = rebuild.moved(Part::Tags, window.cursor()?, usize::try_from(window.links).unwrap_or_default());
    advance(transaction, &next).await?;
    transaction.write(add_links(rebuild.generation, &window)?).await?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::day;

    #[test]
    fn a_day_is_written_one_way() {
        for text in ["2011-12-09", "2012-02-29", "0012-01-01", "9999-12-31"] {
            assert!(day(text, "").is_ok_and(|day| day.to_string() == text), "{text}");
        }
        for text in ["", "2011-2-9", "2011-02-29", "2011-12-09 ", "0001-01-01", "20111209"] {
            assert!(day(text, "").is_err(), "{text}");
        }
    }
}
