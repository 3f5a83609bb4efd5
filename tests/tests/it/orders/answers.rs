//! Large orders and clients with the default limit of 4 MiB: claims always return orders while some are due, and a
//! write returns as much of the order as fits.

use std::collections::HashSet;
use std::time::Duration;

use orrery_proto::orders::v1::orders_service_client::OrdersServiceClient;
use orrery_proto::orders::v1::{
    ClaimDueOrdersRequest, ClaimDueOrdersResponse, CreateOrderRequest, GetOrderRequest, LineItemFilter,
    LookupOrdersRequest, Order, OrderView, SetProvisionTimerRequest, StreamLineItemsRequest, StreamOrdersRequest,
    TransitionOrderRequest, lookup_orders_request,
};
use prost::Message as _;
use prost_types::FieldMask;
use tonic::transport::Channel;
use tonic::{Code, Request, Response};

use super::fixture::{Fixture, bare};
use super::seed::large_order;
use crate::harness::{LARGEST_MESSAGE, Role, accepting, line, order_uid, refusal, timestamp};

const MIB: usize = 1 << 20;
const FULL: OrderView = OrderView::Full;
const BASIC: OrderView = OrderView::Basic;

/// Inserts due orders without the service, with this many lines each. Higher numbers have been due for longer. The
/// order of uids differs from that of times.
async fn put_due(fixture: &Fixture, numbers: std::ops::RangeInclusive<usize>, lines: usize) {
    let (first, last) = numbers.into_inner();
    fixture
        .run(&format!(
            "insert into orders.order_header (uid, currency_code, status, provision_timer_ts) \
             select 'ord_' || lpad(n::text, 7, '0'), 'GBP', '{{\"phase\": \"confirmed\"}}', \
                    timestamptz '2020-01-01 00:00:00+00' - n * interval '1 second' \
               from generate_series({first}, {last}) n; \
             insert into orders.order_line_item (order_uid, uid, line_number, sku, name, quantity, unit_price) \
             select 'ord_' || lpad(n::text, 7, '0'), 'oli_' || l, l, 'SKU-' || l, 'A thing of some kind', 1, 1.50 \
               from generate_series({first}, {last}) n cross join generate_series(1, {lines}) l; \
             insert into orders.order_summary (order_uid, line_count) \
             select 'ord_' || lpad(n::text, 7, '0'), {lines} from generate_series({first}, {last}) n; \
             analyze orders.order_header, orders.order_line_item, orders.order_summary"
        ))
        .await;
}

/// Gives orders an annotation of this many bytes.
async fn annotate(fixture: &Fixture, condition: &str, bytes: usize) {
    let text = format!("jsonb_build_object('text', repeat('x', {bytes}))");
    fixture.run(&format!("update orders.order_header set annotations = {text} where {condition}")).await;
}

/// A client with default settings.
fn client(fixture: &Fixture) -> OrdersServiceClient<Channel> {
    OrdersServiceClient::new(fixture.server.channel())
}

fn request(limit: i32, view: OrderView) -> ClaimDueOrdersRequest {
    let lease = Some(Duration::from_secs(3_600).try_into().unwrap());
    ClaimDueOrdersRequest { limit, lease, view: view.into(), ..ClaimDueOrdersRequest::default() }
}

/// Claims until nothing is due. After each response exactly the returned orders are claimed.
async fn claim_all(fixture: &Fixture, request: &ClaimDueOrdersRequest) -> Vec<ClaimDueOrdersResponse> {
    let mut answers = Vec::new();
    let mut handed_out = 0;
    loop {
        let answer = client(fixture).claim_due_orders(request.clone()).await.unwrap().into_inner();
        assert!(answer.encoded_len() <= 4 * MIB - 5, "{} bytes", answer.encoded_len());
        assert!(answer.orders.is_sorted_by(|a, b| a.uid < b.uid));
        handed_out += answer.orders.len() as i64;
        let claimed = fixture.count("orders.order_header where status ->> 'phase' = 'provisioning'").await;
        assert_eq!(claimed, handed_out, "nothing is claimed that is not handed out");
        if answer.orders.is_empty() {
            assert_eq!(answer.reduced_uids, Vec::<String>::new());
            return answers;
        }
        answers.push(answer);
    }
}

fn orders(answers: &[ClaimDueOrdersResponse]) -> Vec<&Order> {
    answers.iter().flat_map(|answer| &answer.orders).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_orders_of_twenty_lines_are_handed_out_whole() {
    let fixture = Fixture::new().await;
    put_due(&fixture, 1..=1_000, 20).await;
    let answers = claim_all(&fixture, &request(1_000, FULL)).await;
    let all = orders(&answers);
    assert_eq!(all.iter().map(|order| &order.uid).collect::<HashSet<_>>().len(), 1_000);
    assert!(all.iter().all(|order| order.line_items.len() == 20 && order.revision == 2 && !order.etag.is_empty()));
    // The number of rows does not limit a claim: they are less than 4 MiB.
    assert_eq!(answers.iter().map(|answer| answer.orders.len()).collect::<Vec<_>>(), [1_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_are_too_much_together_are_handed_out_in_turn_those_first_that_have_waited_longest() {
    let fixture = Fixture::new().await;
    put_due(&fixture, 1..=100, 0).await;
    annotate(&fixture, "true", 160_000).await;
    let answers = claim_all(&fixture, &request(1_000, BASIC)).await;
    let mut next = 100;
    for answer in &answers {
        let last = next + 1 - answer.orders.len();
        let expected: Vec<String> = (last..=next).map(order_uid).collect();
        assert_eq!(answer.orders.iter().map(|order| order.uid.clone()).collect::<Vec<_>>(), expected);
        assert!(answer.orders.iter().all(|order| order.annotations["text"].len() == 160_000));
        assert!(answer.reduced_uids.is_empty());
        next = last - 1;
    }
    assert_eq!(next, 0);
    // 26 of them fit into a response.
    assert!((4..=6).contains(&answers.len()), "{} answers", answers.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_too_large_by_itself_holds_up_nobody() {
    let fixture = Fixture::new().await;
    put_due(&fixture, 1..=3, 2).await;
    put_due(&fixture, 4..=4, 100_000).await;
    put_due(&fixture, 5..=6, 2).await;
    let answers = claim_all(&fixture, &request(100, FULL)).await;
    let all = orders(&answers);
    assert_eq!(all.iter().map(|order| &order.uid).collect::<HashSet<_>>().len(), 6);
    let reduced: Vec<&String> = answers.iter().flat_map(|answer| &answer.reduced_uids).collect();
    assert_eq!(reduced, [&order_uid(4)]);
    for order in &all {
        assert_eq!((order.revision, order.status.as_ref().unwrap().phase.as_str()), (2, "provisioning"));
        let lines = if order.uid == order_uid(4) { 0 } else { 2 };
        assert_eq!(order.line_items.len(), lines, "{}", order.uid);
    }
    let large = all.iter().find(|order| order.uid == order_uid(4)).unwrap();
    assert_eq!(large.summary.as_ref().unwrap().line_count, 100_000);
    // Its lines can be streamed, and it can be moved: the response contains as much of it as fits.
    let filter = Some(LineItemFilter { order_uids: vec![order_uid(4)], ..LineItemFilter::default() });
    let lines = StreamLineItemsRequest { filter, ..StreamLineItemsRequest::default() };
    let mut pages = client(&fixture).stream_line_items(lines).await.unwrap().into_inner();
    let mut seen = 0;
    while let Some(page) = pages.message().await.unwrap() {
        seen += page.line_items.len();
    }
    assert_eq!(seen, 100_000);
    let done = TransitionOrderRequest {
        uid: order_uid(4),
        to_phase: "fulfilled".to_owned(),
        revision: large.revision,
        view: FULL.into(),
        ..TransitionOrderRequest::default()
    };
    let answer = client(&fixture).transition_order(done).await.unwrap();
    assert_eq!(omitted(&answer), "line_items,addresses");
    assert_eq!((answer.get_ref().revision, answer.get_ref().line_items.len()), (3, 0));
    assert_eq!(answer.get_ref().status.as_ref().unwrap().phase, "fulfilled");
    assert_eq!(answer.get_ref().summary.as_ref().unwrap().line_count, 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimer_who_takes_more_is_given_more() {
    let fixture = Fixture::new().await;
    put_due(&fixture, 1..=1, 50_000).await;
    put_due(&fixture, 2..=40, 0).await;
    annotate(&fixture, "uid > 'ord_0000001'", 160_000).await;
    let answer =
        fixture.server.client().claim_due_orders(accepting(request(100, FULL), LARGEST_MESSAGE)).await.unwrap();
    let answer = answer.into_inner();
    assert!(answer.encoded_len() > 8 * MIB && answer.reduced_uids.is_empty(), "{} bytes", answer.encoded_len());
    assert_eq!((answer.orders.len(), answer.orders[0].line_items.len()), (40, 50_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_order_whose_own_fields_are_too_large_the_essential_ones_are_handed_out() {
    // The second service gets less from its database than one of the orders has.
    for max_result_bytes in [64 * MIB, 2 * MIB] {
        let fixture = Fixture::with(|config| config.service.limits.max_result_bytes = max_result_bytes).await;
        put_due(&fixture, 1..=5, 1).await;
        annotate(&fixture, "uid = 'ord_0000003'", 5 * MIB).await;
        for (view, paths) in [(BASIC, &[][..]), (FULL, &[]), (FULL, &["uid", "annotations", "line_items"])] {
            let read_mask =
                (!paths.is_empty()).then(|| FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() });
            let answers = claim_all(&fixture, &ClaimDueOrdersRequest { read_mask, ..request(100, view) }).await;
            let all = orders(&answers);
            assert_eq!(all.len(), 5, "{view:?} {paths:?}");
            assert_eq!(answers.iter().flat_map(|answer| &answer.reduced_uids).collect::<Vec<_>>(), [&order_uid(3)]);
            let large = all.iter().find(|order| order.uid == order_uid(3)).unwrap();
            assert!(large.provision_timer_ts.is_some() && large.create_ts.is_some() && large.update_ts.is_some());
            let essential = Order {
                uid: order_uid(3),
                revision: large.revision,
                provision_timer_ts: large.provision_timer_ts,
                create_ts: large.create_ts,
                update_ts: large.update_ts,
                ..Order::default()
            };
            assert!(large.revision > 1);
            assert_eq!(**large, essential);
            fixture
                .run(
                    "update orders.order_header set status = '{\"phase\": \"confirmed\"}', \
                     provision_timer_ts = now() - interval '1 hour'",
                )
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claimers_at_once_share_large_and_small_orders_and_none_twice() {
    let fixture = Fixture::new().await;
    put_due(&fixture, 1..=300, 3).await;
    annotate(&fixture, "right(uid, 1) in ('3', '7')", 300_000).await;
    annotate(&fixture, "right(uid, 2) = '50'", 5 * MIB).await;
    let claimers = (0..6).map(|_| async {
        let mut client = OrdersServiceClient::new(fixture.server.channel());
        let mut claimed = Vec::new();
        // Orders that others hold at the moment are skipped.
        while fixture.count("orders.order_header where provision_timer_ts <= now()").await > 0 {
            let answer = client.claim_due_orders(request(60, FULL)).await.unwrap().into_inner();
            claimed.extend(answer.orders.into_iter().map(|order| (order.uid, order.revision)));
        }
        claimed
    });
    let mut claimed: Vec<(String, i32)> = futures::future::join_all(claimers).await.concat();
    claimed.sort_unstable();
    assert_eq!(claimed, (1..=300).map(|number| (order_uid(number), 2)).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimer_waits_for_an_order_that_it_gave_back_to_look_at_it() {
    let fixture = Fixture::new().await;
    put_due(&fixture, 1..=1, 3).await;
    // From now on the service knows how large orders are, and claims without looking first.
    assert_eq!(client(&fixture).claim_due_orders(request(60, FULL)).await.unwrap().into_inner().orders.len(), 1);
    annotate(&fixture, "true", 5 * MIB).await;
    let mut contested = 0;
    for round in 0..200 {
        let due =
            "update orders.order_header set provision_timer_ts = '2020-01-01', status = '{\"phase\": \"confirmed\"}'";
        fixture.run(due).await;
        let claim = async {
            let mut client = OrdersServiceClient::new(fixture.server.channel());
            client.claim_due_orders(request(60, FULL)).await.unwrap().into_inner().orders.len()
        };
        // Another worker takes the order as soon as the claimer gives it back, and does not claim it.
        let contender = async {
            tokio::time::sleep(Duration::from_millis(round % 20)).await;
            let mut transaction = fixture.pool.begin().await.unwrap();
            let locked = sqlx::raw_sql("select from orders.order_header for update nowait");
            if locked.execute(&mut *transaction).await.is_ok() {
                return false;
            }
            drop(transaction);
            let mut transaction = fixture.pool.begin().await.unwrap();
            sqlx::raw_sql("select from orders.order_header for update").execute(&mut *transaction).await.unwrap();
            tokio::time::sleep(Duration::from_millis(30)).await;
            true
        };
        let (claimed, was_held) = tokio::join!(claim, contender);
        contested += usize::from(was_held);
        assert!(claimed == 1 || !was_held, "in round {round} the order was held and not claimed");
        if contested == 10 {
            return;
        }
    }
    assert!(contested > 0, "the claims were too fast to meet one");
}

fn omitted(answer: &Response<Order>) -> String {
    answer.metadata().get("x-omitted-fields").map(|fields| fields.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_tells_as_much_of_a_large_order_as_fits() {
    let fixture = Fixture::new().await;
    let lines: Vec<_> = (0..40_000).map(|number| line(&format!("SKU-{number:0>80}"), 1, "1.50")).collect();
    let create = |request_id: &str| CreateOrderRequest {
        order: Some(Order { uid: String::new(), line_items: lines.clone(), ..bare("") }),
        request_id: request_id.to_owned(),
        view: FULL.into(),
        ..CreateOrderRequest::default()
    };
    let mut large = client(&fixture).max_encoding_message_size(LARGEST_MESSAGE);
    let created = large.create_order(create("large")).await.unwrap();
    assert_eq!(omitted(&created), "line_items,addresses");
    let order = created.into_inner();
    assert_eq!((order.line_items.len(), order.summary.as_ref().unwrap().line_count), (0, 40_000));
    assert_eq!(fixture.count("orders.order_line_item").await, 40_000);
    // Who asks for no more than the default is told all of that.
    let unasked = CreateOrderRequest { view: 0, ..create("large") };
    let basic = large.create_order(unasked).await.unwrap();
    assert_eq!((omitted(&basic).as_str(), basic.get_ref()), ("", &order));
    // So does its retry, and whoever takes more gets all of it.
    let again = large.create_order(create("large")).await.unwrap();
    assert_eq!((omitted(&again).as_str(), again.get_ref()), ("line_items,addresses", &order));
    let whole = fixture.server.client().create_order(accepting(create("large"), LARGEST_MESSAGE)).await.unwrap();
    assert_eq!((omitted(&whole).as_str(), whole.get_ref().line_items.len()), ("", 40_000));
    assert_eq!((fixture.count("orders.order_header").await, &whole.get_ref().etag), (1, &order.etag));

    let timer = SetProvisionTimerRequest {
        uid: order.uid.clone(),
        provision_timer_ts: Some(timestamp(4_000_000_000)),
        revision: order.revision,
        view: FULL.into(),
        ..SetProvisionTimerRequest::default()
    };
    let postponed = client(&fixture).set_provision_timer(timer).await.unwrap();
    assert_eq!((omitted(&postponed).as_str(), postponed.get_ref().revision), ("line_items,addresses", 2));

    // A read is refused instead, and the error names the order.
    let get = GetOrderRequest { uid: order.uid.clone(), ..GetOrderRequest::default() };
    let refused = client(&fixture).get_order(get.clone()).await.unwrap_err();
    let told = refusal(&refused);
    assert_eq!((told.code, told.reason.as_str()), (Code::ResourceExhausted, "ANSWER_TOO_LARGE"), "{refused:?}");
    let basic = GetOrderRequest { view: BASIC.into(), ..get };
    assert_eq!(client(&fixture).get_order(basic).await.unwrap().into_inner().revision, 2);
    let criterion = Some(lookup_orders_request::Criterion::UidPrefix(order.uid));
    let lookup = LookupOrdersRequest { criterion, view: FULL.into(), ..LookupOrdersRequest::default() };
    let refused = client(&fixture).lookup_orders(lookup).await.unwrap_err();
    assert_eq!(refusal(&refused).reason, "ANSWER_TOO_LARGE");
    let stream = StreamOrdersRequest { view: FULL.into(), ..StreamOrdersRequest::default() };
    let refused = client(&fixture).stream_orders(stream).await.unwrap().into_inner().message().await.unwrap_err();
    assert_eq!(refusal(&refused).reason, "ANSWER_TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_goes_through_where_the_database_does_not_give_out_all_of_the_order() {
    let fixture = Fixture::with(|config| config.service.limits.max_result_bytes = 2 * MIB).await;
    large_order(&mut fixture.database.connect(Role::Operator).await, 1, 30_000).await;
    fixture.run("update orders.order_header set status = '{\"phase\": \"confirmed\"}'").await;
    let moved = TransitionOrderRequest {
        uid: order_uid(1),
        to_phase: "cancelled".to_owned(),
        view: FULL.into(),
        ..TransitionOrderRequest::default()
    };
    let answer = fixture.server.client().transition_order(accepting(moved, LARGEST_MESSAGE)).await.unwrap();
    assert_eq!(omitted(&answer), "line_items,addresses");
    assert_eq!(answer.get_ref().status.as_ref().unwrap().phase, "cancelled");
    assert_eq!(fixture.text("select status ->> 'phase' from orders.order_header").await, "cancelled");
}

#[tokio::test]
async fn a_claimer_who_takes_no_size_is_refused_and_nothing_is_claimed() {
    let fixture = Fixture::new().await;
    put_due(&fixture, 1..=1, 1).await;
    let mut wrong = Request::new(request(1, BASIC));
    wrong.metadata_mut().insert("x-max-answer-bytes", "much".parse().unwrap());
    let refused = refusal(&client(&fixture).claim_due_orders(wrong).await.unwrap_err());
    assert_eq!((refused.code, refused.fields), (Code::InvalidArgument, vec!["x-max-answer-bytes".to_owned()]));
    assert_eq!(fixture.count("orders.order_header where status ->> 'phase' = 'provisioning'").await, 0);
}
