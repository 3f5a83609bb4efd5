//! GetProductMetrics: all metrics of one product.

use orrery_kit::context::{Call, Context};
use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::read::order::Order;
use orrery_kit::read::scan::Scan;
use orrery_kit::read::view::{View, mask};
use orrery_kit::uid::check_key;
use orrery_proto::catalog::v1::GetProductMetricsRequest;
use orrery_proto::wire::Encoded;
use tonic::{Request, Response};

use crate::store::product_metric::PRODUCT_METRIC;

/// Maximum number of metrics of one product in one answer.
const MAX_METRICS: usize = 10_000;

pub(super) async fn get(
    context: &Context,
    request: Request<GetProductMetricsRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let reads = context.reads(&call);
    let GetProductMetricsRequest { product_uid, read_mask } = request.into_inner();
    check_key(&product_uid).map_err(|why| Error::invalid("product_uid", why))?;
    let mask = mask(&PRODUCT_METRIC, read_mask.as_ref(), View::Full)?;
    let filter = Filter::default().uids("product_uid", "product_uid", &[product_uid]).checked()?;
    let scan = Scan::new(&reads, &PRODUCT_METRIC, &mask, filter, Order::NATURAL, call.answers);
    let all = scan.whole(MAX_METRICS, call.answers, call.deadline).await?;
    call.answer(Encoded { rows: all.rows as u64, body: all.body.into(), ..Encoded::default() })
}
