//! The resources that can be ordered, with one common way to call each of their methods.

use orrery_catalog::store::product::PRODUCT;
use orrery_catalog::store::product_metric::PRODUCT_METRIC;
use orrery_kit::resource::Resource;
use orrery_orders::store::line_item::LINE_ITEM;
use orrery_orders::store::order::ORDER;
use orrery_proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use orrery_proto::catalog::v1::{ListProductsRequest, StreamProductMetricsRequest, StreamProductsRequest};
use orrery_proto::orders::v1::orders_service_client::OrdersServiceClient;
use orrery_proto::orders::v1::{ListOrdersRequest, OrderView, StreamLineItemsRequest, StreamOrdersRequest};
use tonic::Status;
use tonic::transport::Channel;

use crate::harness::{CatalogServer, OrdersServer, TestDatabase};

/// The services, on one database.
pub(super) struct Services {
    _servers: (CatalogServer, OrdersServer),
    catalog: CatalogServiceClient<Channel>,
    orders: OrdersServiceClient<Channel>,
}

impl Services {
    pub(super) async fn start(database: &TestDatabase) -> Self {
        let servers = (CatalogServer::start(database).await, OrdersServer::start(database).await);
        let (catalog, orders) = (servers.0.client(), servers.1.client());
        Self { _servers: servers, catalog, orders }
    }
}

/// A method that returns rows in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    ListProducts,
    StreamProducts,
    StreamMetrics,
    ListOrders,
    StreamOrders,
    StreamLines,
}

pub(super) const METHODS: [Method; 6] = [
    Method::ListProducts,
    Method::StreamProducts,
    Method::StreamMetrics,
    Method::ListOrders,
    Method::StreamOrders,
    Method::StreamLines,
];

/// One order, as `order_by` names it and as Postgres sorts by it.
pub(super) struct Case {
    pub(super) order_by: &'static [&'static str],
    pub(super) sorted_by: &'static [&'static str],
}

const PRODUCTS: &[Case] = &[
    Case { order_by: &["uid"], sorted_by: &["uid"] },
    Case { order_by: &["name"], sorted_by: &["left(coalesce(name, ''), 128) collate \"C\"", "uid"] },
    Case { order_by: &["create_ts"], sorted_by: &["create_ts", "uid"] },
    Case { order_by: &["update_ts", "uid"], sorted_by: &["update_ts", "uid"] },
];
const METRICS: &[Case] = &[
    Case { order_by: &["product_uid"], sorted_by: &["product_uid", "name"] },
    Case { order_by: &["name", "value"], sorted_by: &["name", "value", "product_uid"] },
];
const ORDERS: &[Case] = &[
    Case { order_by: &["uid"], sorted_by: &["uid"] },
    Case { order_by: &["create_ts"], sorted_by: &["create_ts", "uid"] },
    Case { order_by: &["update_ts"], sorted_by: &["update_ts", "uid"] },
    Case {
        order_by: &["provision_timer_ts"],
        // Nulls come last. An order whose timer is infinity is never due, like one without a timer.
        sorted_by: &["coalesce(provision_timer_ts, 'infinity')", "uid"],
    },
];
const LINES: &[Case] =
    &[Case { order_by: &["order_uid", "line_number"], sorted_by: &["order_uid", "line_number", "uid"] }];

impl Method {
    pub(super) fn resource(self) -> &'static Resource {
        match self {
            Self::ListProducts | Self::StreamProducts => &PRODUCT,
            Self::StreamMetrics => &PRODUCT_METRIC,
            Self::ListOrders | Self::StreamOrders => &ORDER,
            Self::StreamLines => &LINE_ITEM,
        }
    }

    /// Every order of its resource.
    pub(super) fn cases(self) -> &'static [Case] {
        match self {
            Self::ListProducts | Self::StreamProducts => PRODUCTS,
            Self::StreamMetrics => METRICS,
            Self::ListOrders | Self::StreamOrders => ORDERS,
            Self::StreamLines => LINES,
        }
    }

    /// Calls it once for the next page. Returns the keys of its rows, with their columns joined by slashes, and the
    /// next token; no token at the end.
    pub(super) async fn page(
        self,
        services: &mut Services,
        order_by: &str,
        page_size: i32,
        token: String,
    ) -> Result<(Vec<String>, Option<String>), Status> {
        let order_by = order_by.to_owned();
        let Services { catalog, orders, .. } = services;
        // Only the first message of a stream is read; then the stream is cancelled.
        match self {
            Self::ListProducts => {
                let request = ListProductsRequest { order_by, page_size, page_token: token, ..Default::default() };
                let page = catalog.list_products(request).await?.into_inner();
                let keys = page.products.into_iter().map(|product| product.uid).collect();
                Ok((keys, Some(page.next_page_token).filter(|token| !token.is_empty())))
            }
            Self::ListOrders => {
                let request = ListOrdersRequest { order_by, page_size, page_token: token, ..Default::default() };
                let page = orders.list_orders(request).await?.into_inner();
                let keys = page.orders.into_iter().map(|order| order.uid).collect();
                Ok((keys, Some(page.next_page_token).filter(|token| !token.is_empty())))
            }
            Self::StreamProducts => {
                let request = StreamProductsRequest { order_by, page_size, resume_token: token, ..Default::default() };
                let page = catalog.stream_products(request).await?.into_inner().message().await?;
                Ok(page.map_or((Vec::new(), None), |page| {
                    (page.products.into_iter().map(|product| product.uid).collect(), Some(page.resume_token))
                }))
            }
            Self::StreamMetrics => {
                let request =
                    StreamProductMetricsRequest { order_by, page_size, resume_token: token, ..Default::default() };
                let page = catalog.stream_product_metrics(request).await?.into_inner().message().await?;
                Ok(page.map_or((Vec::new(), None), |page| {
                    let rows = page.product_metrics.into_iter();
                    let keys = rows.map(|metric| format!("{}/{}", metric.product_uid, metric.name)).collect();
                    (keys, Some(page.resume_token))
                }))
            }
            Self::StreamOrders => {
                // With all children, which are read in another way.
                let request = StreamOrdersRequest {
                    order_by,
                    page_size,
                    resume_token: token,
                    view: OrderView::Full as i32,
                    ..Default::default()
                };
                let page = orders.stream_orders(request).await?.into_inner().message().await?;
                Ok(page.map_or((Vec::new(), None), |page| {
                    (page.orders.into_iter().map(|order| order.uid).collect(), Some(page.resume_token))
                }))
            }
            Self::StreamLines => {
                let request = StreamLineItemsRequest { order_by, page_size, resume_token: token, ..Default::default() };
                let page = orders.stream_line_items(request).await?.into_inner().message().await?;
                Ok(page.map_or((Vec::new(), None), |page| {
                    let rows = page.line_items.into_iter();
                    let keys = rows.map(|line| format!("{}/{}", line.order_uid, line.uid)).collect();
                    (keys, Some(page.resume_token))
                }))
            }
        }
    }
}

/// `order_by` for columns in one direction: `direction` is empty, `asc` or `desc`.
pub(super) fn in_direction(columns: &[&str], direction: &str) -> String {
    columns.iter().map(|column| format!("{column} {direction}")).collect::<Vec<_>>().join(", ")
}
