//! An order is read as of one moment while it is being changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use orrery_proto::orders::v1::{
    BatchGetOrdersRequest, GetOrderRequest, ListOrdersRequest, Order, OrderView, StreamOrdersRequest,
};
use tokio_stream::StreamExt as _;

use crate::harness::{OrdersServer, Role, TestDatabase, order_uid, run};

const FULL: i32 = OrderView::Full as i32;
const ORDERS: usize = 12;
/// The least changes of an order, and the most.
const CHANGES: i32 = 150;
const MOST_CHANGES: i32 = 3_000;
/// The least rounds of reads meanwhile.
const READS: usize = 10;

/// The number of lines at a revision: 1 to 7.
fn lines_at(revision: i32) -> usize {
    revision as usize % 7 + 1
}

/// Changes an order, its lines, addresses and summary in one transaction, like another program. All of them contain the
/// new revision.
fn change(number: usize, revision: i32) -> String {
    let (uid, lines) = (order_uid(number), lines_at(revision));
    format!(
        "begin; \
         update orders.order_header set revision = {revision} where uid = '{uid}'; \
         delete from orders.order_line_item where order_uid = '{uid}'; \
         insert into orders.order_line_item (order_uid, uid, line_number, quantity) \
             select '{uid}', 'oli_' || l, l, {revision} from generate_series(1, {lines}) l; \
         update orders.order_address set city = 'City {revision}' where order_uid = '{uid}'; \
         update orders.order_summary set line_count = {lines}, quantity = {revision} * {lines} where order_uid = \
         '{uid}'; \
         commit"
    )
}

#[track_caller]
fn assert_of_one_moment(order: &Order) {
    let (revision, uid) = (order.revision, &order.uid);
    assert!(order.line_items.iter().all(|line| line.quantity == revision), "{uid} at {revision}: {order:?}");
    assert_eq!(order.line_items.len(), lines_at(revision), "lines of {uid} at {revision}");
    assert_eq!(order.addresses[0].city, format!("City {revision}"), "address of {uid}");
    let summary = order.summary.as_ref().map(|summary| (summary.line_count as usize, summary.quantity));
    let lines = lines_at(revision);
    assert_eq!(summary, Some((lines, i64::from(revision) * lines as i64)), "summary of {uid}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn header_lines_addresses_and_summary_fit_together_whoever_changes_them() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    for number in 1..=ORDERS {
        let uid = order_uid(number);
        run(
            &mut operator,
            &format!(
                "insert into orders.order_header (uid, currency_code) values ('{uid}', 'GBP'); \
                 insert into orders.order_address (order_uid, kind) values ('{uid}', 'billing'); \
                 insert into orders.order_summary (order_uid) values ('{uid}')"
            ),
        )
        .await;
        run(&mut operator, &change(number, 1)).await;
    }
    let server = OrdersServer::start(&database).await;
    let done = Arc::new(AtomicBool::new(false));
    let reads = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..2)
        .map(|writer| {
            let (url, reads) = (database.url(Role::Operator), Arc::clone(&reads));
            tokio::spawn(async move {
                let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.unwrap();
                for revision in 2..2 + MOST_CHANGES {
                    // However slow the machine is, some reads must meet changes.
                    if revision > 2 + CHANGES && reads.load(Ordering::Relaxed) >= READS {
                        break;
                    }
                    for number in (1..=ORDERS).filter(|number| number % 2 == writer) {
                        run(&mut connection, &change(number, revision)).await;
                    }
                }
            })
        })
        .collect();
    let (stop, counted) = (Arc::clone(&done), Arc::clone(&reads));
    let mut client = server.client();
    let reader = tokio::spawn(async move {
        let uids: Vec<String> = (1..=ORDERS).map(order_uid).collect();
        while !stop.load(Ordering::Relaxed) {
            let nth = counted.fetch_add(1, Ordering::Relaxed);
            let request = GetOrderRequest { uid: order_uid(nth % ORDERS + 1), ..Default::default() };
            let mut orders = vec![client.get_order(request).await.unwrap().into_inner()];
            let request = BatchGetOrdersRequest { uids: uids.clone(), ..Default::default() };
            orders.extend(client.batch_get_orders(request).await.unwrap().into_inner().orders);
            let order_by = "update_ts desc".to_owned();
            let request = ListOrdersRequest { view: FULL, order_by, ..Default::default() };
            orders.extend(client.list_orders(request).await.unwrap().into_inner().orders);
            let request = StreamOrdersRequest { view: FULL, page_size: 5, ..Default::default() };
            let mut stream = client.stream_orders(request).await.unwrap().into_inner();
            while let Some(page) = stream.next().await {
                orders.extend(page.unwrap().orders);
            }
            assert_eq!(orders.len(), 1 + 3 * ORDERS);
            orders.iter().for_each(assert_of_one_moment);
        }
    });
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    reader.await.unwrap();
    assert!(reads.load(Ordering::Relaxed) >= READS);
}
