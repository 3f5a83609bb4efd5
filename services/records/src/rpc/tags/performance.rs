//! The performance of tags: GetTagPerformance, GetTagGroupPerformance and StreamTagPerformance.

use orrery_kit::collection::Messages;
use orrery_kit::context::{Call, Context, Reads};
use orrery_kit::error::Error;
use orrery_kit::read::computed;
use orrery_kit::read::point;
use orrery_kit::read::view::{View, mask};
use orrery_kit::resource::select::Selection;
use orrery_proto::records::v1::{
    CombinedPerformance, GetTagGroupPerformanceRequest, GetTagGroupPerformanceResponse, GetTagPerformanceRequest,
    GetTagPerformanceResponse, StreamTagPerformanceRequest, TagGroup, TagPerformanceFilter,
};
use orrery_proto::requests::Stream;
use orrery_proto::wire::Encoded;
use prost::Message as _;
use tonic::{Request, Response};

use super::{check_name, check_uid};
use crate::store::tag_group::TAG_GROUP;
use crate::store::tag_performance::MEASURES;
use crate::store::tag_performance::read::{Generation, Rows, combined, current, of_tags};

/// Maximum number of tags of a request.
const MAX_TAGS: usize = 1_000;
/// Maximum number of categories of a filter.
const MAX_CATEGORIES: usize = 64;
/// Maximum number of rows in an answer.
const MAX_ROWS: usize = 10_000;

/// The generation that readers see.
async fn generation(reads: &Reads, call: &Call) -> Result<Generation, Error> {
    let missing = || Error::NotFound { resource: "orrery.records.v1.TagPerformance", name: "the aggregate".to_owned() };
    reads.read(|| current(reads, call.deadline)).await?.ok_or_else(missing)
}

fn check_uids(field: &str, uids: &[String]) -> Result<(), Error> {
    if uids.len() > MAX_TAGS {
        return Err(Error::invalid(field, format!("has {} uids; at most {MAX_TAGS} are allowed", uids.len())));
    }
    uids.iter().enumerate().try_for_each(|(nth, uid)| check_uid(&format!("{field}[{nth}]"), uid))
}

pub(super) async fn get(
    context: &Context,
    request: Request<GetTagPerformanceRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let reads = context.reads(&call);
    let tag_uids = request.into_inner().tag_uids;
    check_uids("tag_uids", &tag_uids)?;
    if tag_uids.is_empty() {
        return Err(Error::invalid("tag_uids", "is required"));
    }
    let Generation { number, day_as_of } = generation(&reads, &call).await?;
    let tag_performances = reads.read(|| of_tags(&reads, number, &tag_uids, MAX_ROWS, call.deadline)).await?;
    let rows = reads.read(|| combined(&reads, number, &tag_uids, call.deadline)).await?;
    let combined = Some(CombinedPerformance { rows });
    let rows = tag_performances.len() as u64;
    let answer = GetTagPerformanceResponse { tag_performances, combined, generation: number, day_as_of };
    call.answer(Encoded { rows, body: answer.encode_to_vec().into(), ..Encoded::default() })
}

pub(super) async fn of_group(
    context: &Context,
    request: Request<GetTagGroupPerformanceRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let reads = context.reads(&call);
    let uid = request.into_inner().uid;
    check_uid("uid", &uid)?;
    let selection = Selection::new(&TAG_GROUP, &mask(&TAG_GROUP, None, View::Full)?);
    let key = TAG_GROUP.key([&uid])?;
    let group = point::get(&reads, &TAG_GROUP, &selection, &key, call.deadline).await?;
    let group = TagGroup::decode(group.body).map_err(Error::internal)?;
    let Generation { number, day_as_of } = generation(&reads, &call).await?;
    let rows = reads.read(|| combined(&reads, number, &group.tag_uids, call.deadline)).await?;
    let count = rows.len() as u64;
    let combined = Some(CombinedPerformance { rows });
    let answer = GetTagGroupPerformanceResponse { combined, generation: number, day_as_of };
    call.answer(Encoded { rows: count, body: answer.encode_to_vec().into(), ..Encoded::default() })
}

pub(super) async fn stream(
    context: &Context,
    request: Request<StreamTagPerformanceRequest>,
) -> Result<Response<Messages<Encoded>>, Error> {
    let call = Call::of(&request)?;
    let reads = context.reads(&call);
    let mut request: Stream<TagPerformanceFilter> = request.into_inner().into();
    let filter = request.filter.message.take().unwrap_or_default();
    let (measure, descending) = order(&request.order_by)?;
    check_uids("filter.tag_uids", &filter.tag_uids)?;
    if filter.category_names.len() > MAX_CATEGORIES {
        return Err(Error::invalid("filter.category_names", format!("has more than {MAX_CATEGORIES} names")));
    }
    for (nth, name) in filter.category_names.iter().enumerate() {
        check_name(&format!("filter.category_names[{nth}]"), name)?;
    }
    let currency_code = match filter.currency_code.as_str() {
        "" => None,
        "-" => Some(String::new()),
        code if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) => Some(code.to_owned()),
        _ => return Err(Error::invalid("filter.currency_code", "must be 3 letters A-Z, or \"-\"")),
    };
    let top_per_category = i64::from(filter.top_per_category);
    if top_per_category < 0 {
        return Err(Error::invalid("filter.top_per_category", "must not be negative"));
    }
    let generation = call.draining.step(Box::pin(generation(&reads, &call))).await?.number;
    let (tag_uids, category_names) = (filter.tag_uids, filter.category_names);
    let rows = Rows { generation, tag_uids, category_names, currency_code, top_per_category, measure, descending };
    Ok(Response::new(computed::stream(&reads, call, request, rows).await?))
}

/// The measure that `order_by` names, and whether it descends; no measure for the order of tags.
fn order(order_by: &str) -> Result<(Option<&'static str>, bool), Error> {
    let mut words = order_by.split_ascii_whitespace();
    let (name, direction, rest) = (words.next().unwrap_or("tag_uid"), words.next().unwrap_or("asc"), words.next());
    let measure = MEASURES.into_iter().find(|measure| *measure == name);
    if (measure.is_none() && name != "tag_uid") || !["asc", "desc"].contains(&direction) || rest.is_some() {
        let why = format!("must be tag_uid or one of {}, optionally followed by asc or desc", MEASURES.join(", "));
        return Err(Error::invalid("order_by", why));
    }
    Ok((measure, direction == "desc"))
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn an_order_names_the_tag_or_a_measure() {
        assert_eq!(order("").ok(), Some((None, false)));
        assert_eq!(order("tag_uid desc").ok(), Some((None, true)));
        assert_eq!(order(" gross_7d  desc ").ok(), Some((Some("gross_7d"), true)));
        assert_eq!(order("units asc").ok(), Some((Some("units"), false)));
        for wrong in ["units, gross", "value", "units down", "units desc desc", "desc"] {
            assert!(order(wrong).is_err(), "{wrong}");
        }
    }
}
