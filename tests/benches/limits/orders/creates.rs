//! Single orders with a few lines, sequentially and with several callers.

use std::time::{Duration, Instant};

use orrery_proto::orders::v1::{CreateOrderRequest, LineItem, Order, OrderView};
use orrery_proto::r#type::v1::ReferenceCheck;
use prost::Message as _;

use super::SERVICE;
use super::service::Service;
use crate::callers::Callers;
use crate::postgres::Postgres;
use crate::{Rate, Report, Settings};

const CALLERS: usize = 16;
/// The number of measured calls of one caller.
const CALLS: usize = 300;

/// The same in SQL, as short as possible.
const TRANSACTION: &str = "\\set n random(1, 1000000000000000)
begin;
insert into orders.order_header (uid, customer_id, currency_code) values ('ord_' || :n, 'customer-1', 'EUR');
insert into orders.order_line_item (order_uid, uid, line_number, sku, quantity, unit_price)
values ('ord_' || :n, 'oli_1', 1, 'SKU-1', 1, 12.50), ('ord_' || :n, 'oli_2', 2, 'SKU-2', 2, 12.50),
       ('ord_' || :n, 'oli_3', 3, 'SKU-3', 3, 12.50);
insert into orders.order_summary (order_uid, line_count, quantity, subtotal, total) values ('ord_' || :n, 3, 6, 75.00, 75.00);
commit;
";

pub(super) async fn measure(
    postgres: &Postgres,
    service: &Service,
    settings: Settings,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut pgbench, mut creates, mut latency) = (Rate::default(), Rate::default(), Rate::default());
    let time = Duration::from_secs(settings.seconds as u64);
    service.process.forget_peak()?;
    for run in 1..=settings.runs {
        super::tables::empty(postgres).await?;
        pgbench.0.push(postgres.pgbench(TRANSACTION, CALLERS, ["--time", &settings.seconds.to_string()])?.rate);
        super::tables::empty(postgres).await?;
        creates.0.push(create_by_all(service, time).await?);
        for _ in 0..CALLS {
            let started = Instant::now();
            create(service).await?;
            latency.0.push(started.elapsed().as_secs_f64() * 1e3);
        }
        eprintln!("orders-create, run {run}: {:.0}/s of {:.0}/s", creates.last(), pgbench.last());
    }
    let limit = format!("pgbench, {CALLERS} clients, one transaction each");
    report.row(&format!("create one order of three lines, {CALLERS} callers"), &limit, &pgbench, &creates);
    report.note(format!("create one order of three lines, one caller: {:.2} ms", latency.median()));
    report.memory(SERVICE, "orders created one by one", service.process.peak_memory()?);
    super::tables::empty(postgres).await
}

/// The connections of the callers together.
const CONNECTIONS: usize = 2;
/// The time at the start that is not counted.
const WARM_UP: Duration = Duration::from_secs(1);

async fn create_by_all(service: &Service, time: Duration) -> anyhow::Result<f64> {
    let callers = Callers {
        method: "/orrery.orders.v1.OrdersService/CreateOrder",
        metadata: Vec::new(),
        message: |_| request().encode_to_vec(),
        rows: 0,
        is_right: |answer| Order::decode(answer).is_ok_and(|order| order.line_items.len() == 3),
        count: CALLERS,
        connections: CONNECTIONS,
        warm_up: WARM_UP,
        time,
        pause: None,
    };
    Ok(crate::per_second(callers.call(service.process.address()).await?.took.len(), time))
}

async fn create(service: &Service) -> anyhow::Result<()> {
    let order = service.client().create_order(request()).await?.into_inner();
    anyhow::ensure!(order.line_items.len() == 3, "an order without its lines");
    Ok(())
}

fn request() -> CreateOrderRequest {
    let line = |n: i32| LineItem {
        sku: format!("SKU-{n}"),
        quantity: n,
        unit_price: "12.50".to_owned(),
        ..LineItem::default()
    };
    let order = Order {
        customer_id: "customer-1".to_owned(),
        currency_code: "EUR".to_owned(),
        line_items: (1..=3).map(line).collect(),
        ..Order::default()
    };
    CreateOrderRequest {
        order: Some(order),
        reference_check: ReferenceCheck::Accept.into(),
        view: OrderView::Full.into(),
        ..CreateOrderRequest::default()
    }
}
