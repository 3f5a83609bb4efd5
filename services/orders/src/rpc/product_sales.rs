//! StreamProductSales: sold units per product, currency, and day or period.

use chrono::{Datelike as _, NaiveDate};
use orrery_kit::collection::Messages;
use orrery_kit::context::{Call, Context, Reads};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::read::computed;
use orrery_kit::read::stream::page_rows;
use orrery_proto::orders::v1::StreamProductSalesRequest;
use orrery_proto::requests;
use orrery_proto::wire::Encoded;
use tonic::{Request, Response};

use crate::lifecycle::SOLD_PHASES;
use crate::store::product_sales::{SalesPeriod, knows_time_zone, orders_in};

/// Maximum number of days from the first day to the last.
const MAX_DAYS: i64 = 3_660;
/// Maximum length of a time zone's name.
const MAX_ZONE_BYTES: usize = 64;
/// Maximum number of sums of last days in a row.
const MAX_RECENT: usize = 8;
/// The default time zone.
const UTC: &str = "UTC";

pub(super) async fn stream(
    context: &Context,
    request: Request<StreamProductSalesRequest>,
) -> Result<Response<Messages<Encoded>>, Error> {
    let call = Call::of(&request)?;
    let reads = context.reads(&call);
    let mut request: requests::Stream<StreamProductSalesRequest> = request.into_inner().into();
    page_rows(request.page_size)?;
    let period = period(&reads, &request.filter.message.take().unwrap_or_default(), call.deadline).await?;
    Ok(Response::new(computed::stream(&reads, call, request, period).await?))
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
    let recent_days = request.recent_days.clone();
    if recent_days.len() > MAX_RECENT {
        return Err(Error::invalid("recent_days", format!("has more than {MAX_RECENT} entries")));
    }
    if let Some(nth) = recent_days.iter().position(|&days| !(1..=MAX_DAYS + 1).contains(&days.into())) {
        return Err(Error::invalid(format!("recent_days[{nth}]"), format!("must be from 1 to {}", MAX_DAYS + 1)));
    }
    let sold: Vec<String> = SOLD_PHASES.iter().map(|&phase| phase.to_owned()).collect();
    let orders = orders_in(if request.phases.is_empty() { &sold } else { &request.phases })?;
    Ok(SalesPeriod { from, to, time_zone: time_zone.to_owned(), orders, recent_days })
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
}
