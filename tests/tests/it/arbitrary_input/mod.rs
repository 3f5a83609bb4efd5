//! Any input to any method gives a response or an error that describes the mistake, never an internal error, and
//! nothing is partially written.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

pub(crate) mod generator;

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use rand::RngExt as _;
use sqlx::{PgConnection, query_scalar};
use tonic::transport::Channel;
use tonic::{Code, Status};

use self::generator::{Generator, Vocabulary};
use crate::harness::contract::field;
use crate::harness::raw::{Method, call, methods};
use crate::harness::{CatalogServer, Role, TestDatabase, refusal, run};

/// The service under test.
pub(crate) struct Target<'a> {
    /// Its full name.
    pub(crate) service: &'static str,
    /// A connection.
    pub(crate) channel: Channel,
    /// Values for its fields.
    pub(crate) vocabulary: Vocabulary,
    /// Its database.
    pub(crate) database: &'a TestDatabase,
    /// Statements that create rows for each method, in case an earlier call deleted them.
    pub(crate) rows: &'static str,
    /// A select that returns everything in its tables that a call could change, as one text.
    pub(crate) contents: &'static str,
}

/// Checks that an error is a client error and describes the mistake.
fn assert_is_the_callers(status: &Status, what: &dyn Fn() -> String) {
    let refused = refusal(status);
    let reasons: &[&str] = match refused.code {
        Code::InvalidArgument => &[
            "FIELD_INVALID",
            "MESSAGE_MALFORMED",
            "TOKEN_INVALID",
            "TOKEN_MISMATCH",
            "ROW_REJECTED",
            "WRITE_SESSION_MISMATCH",
        ],
        Code::NotFound => &["RESOURCE_NOT_FOUND", "CREATED_RESOURCE_DELETED"],
        Code::AlreadyExists => &["RESOURCE_EXISTS"],
        Code::Aborted => &["ETAG_MISMATCH", "REVISION_MISMATCH", "OFFSET_CONFLICT"],
        Code::FailedPrecondition => &["PHASE_FORBIDS", "REFERENCE_MISSING", "RESOURCE_REFERENCED"],
        Code::OutOfRange => &["OFFSET_GAP"],
        _ => &[],
    };
    assert!(reasons.contains(&refused.reason.as_str()), "{status:?} to {}", what());
    if refused.code == Code::InvalidArgument && refused.reason != "MESSAGE_MALFORMED" {
        assert!(!refused.fields.is_empty(), "no field is named: {status:?} to {}", what());
        assert!(refused.fields.iter().all(|field| !field.is_empty()), "an empty field: {status:?} to {}", what());
    }
}

/// For each method the number of successful and of failed calls.
pub(crate) type Outcomes = BTreeMap<String, [usize; 2]>;

impl Target<'_> {
    /// Calls all methods, and checks each response and that a failed call has changed nothing.
    async fn bombard(&self, rounds: usize, make: impl Fn(&mut Generator, &Method) -> Vec<Bytes>) -> Outcomes {
        let number: u64 = rand::random();
        let mut generator = Generator::new(number, self.vocabulary);
        let mut operator = self.database.connect(Role::Operator).await;
        let mut outcomes = Outcomes::new();
        for method in methods(self.service) {
            run(&mut operator, self.rows).await;
            let mut before = self.contents(&mut operator).await;
            for round in 0..rounds {
                let messages = make(&mut generator, &method);
                let answer = call(&self.channel, &method.path, messages.clone()).await;
                let after = self.contents(&mut operator).await;
                let count = outcomes.entry(method.name.clone()).or_default();
                if let Err(status) = answer {
                    let what = || {
                        let shown: Vec<&[u8]> =
                            messages.iter().map(|message| &message[..message.len().min(300)]).collect();
                        format!("{} in round {round} of seed {number}: {shown:02x?}", method.name)
                    };
                    assert_is_the_callers(&status, &what);
                    // A stream may have committed chunks before the one that failed.
                    assert!(after == before || method.streams_in, "a refused call wrote something: {}", what());
                    count[1] += 1;
                } else {
                    count[0] += 1;
                }
                before = after;
            }
        }
        // The service still works normally.
        let health = tonic_health::pb::health_client::HealthClient::new(self.channel.clone())
            .check(tonic_health::pb::HealthCheckRequest::default())
            .await
            .unwrap();
        assert_eq!(health.into_inner().status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
        outcomes
    }

    async fn contents(&self, connection: &mut PgConnection) -> String {
        query_scalar(self.contents).fetch_one(connection).await.unwrap()
    }

    /// Messages with valid and invalid values.
    pub(crate) async fn bombard_with_values(&self) -> Outcomes {
        self.bombard(250, Generator::call).await
    }

    /// Such messages with damaged bytes.
    pub(crate) async fn bombard_with_broken_bytes(&self) {
        self.bombard(120, |generator, method| {
            let messages = generator.call(method);
            messages.iter().map(|message| generator.broken(message)).collect()
        })
        .await;
    }

    /// Random bytes.
    pub(crate) async fn bombard_with_any_bytes(&self) {
        self.bombard(80, |generator, _| {
            let length = [0, 1, 2, 3, 10, 100, 5_000][generator.random.random_range(0..7)];
            vec![(0..length).map(|_| generator.random.random::<u8>()).collect()]
        })
        .await;
    }
}

/// Checks that for each method some calls succeeded and some failed, so that the messages were neither all invalid nor
/// all valid.
#[track_caller]
pub(crate) fn assert_both_ways_out(outcomes: Outcomes) {
    for (method, [answered, refused]) in outcomes {
        assert!(answered > 0 && refused > 0, "{method}: {answered} answered, {refused} refused");
    }
}

/// Statuses with nested details: slightly deeper than allowed, and far deeper than any parser accepts.
pub(crate) fn nesting_statuses() -> impl Iterator<Item = (usize, Vec<u8>)> {
    [29, 40, 99, 150, 10_000].into_iter().map(|levels| {
        // Value.struct_value.fields["a"] = Value...
        let mut value = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(1.0)) }.encode_to_vec();
        for _ in 0..levels {
            let entry = [b"\x0a\x01a".as_slice(), &field(2, &value)].concat();
            value = field(5, &field(1, &entry));
        }
        let entry = [b"\x0a\x01a".as_slice(), &field(2, &value)].concat();
        (levels, field(2, &field(1, &entry)))
    })
}

const CONTENTS: &str = "select md5(concat( \
    (select string_agg(p::text, '|' order by uid) from catalog.product p), \
    (select string_agg(m::text, '|' order by product_uid, name) from catalog.product_metric m)))";

const VOCABULARY: Vocabulary = Vocabulary {
    fitting: |message, field| match field {
        "value" if message == "ProductMetric" => &["1.50"],
        "uid" | "uids" | "product_uid" | "product_uids" => &["prd_0000001", "prd_0000002", "prd_new"],
        "value" => &["summer"],
        "paths" => &["name", "labels.season", "status.details.k"],
        "order_by" => &["create_ts desc", "uid", "name desc, value desc"],
        "label_selector" => &["season=summer", "!a"],
        "key" => &["season", "k", "example.com/key"],
        "name" => &["sales"],
        "names" if message == "ResolveProductsRequest" => &["Thing 1", "THING 2", "Thingy 3", "?"],
        "phase" | "phases" => &["active"],
        // Valid tokens and etags come from earlier responses.
        _ => &[],
    },
    nasty: &["prd_0000001", "prd_0000002", "prd_none", "prd_", "prd_\0", "PRD_1", "ord_1"],
};

const ROWS: &str = "insert into catalog.product (uid, name) select 'prd_000000' || n, 'Thing ' || n from \
    generate_series(1, 5) n \
    on conflict do nothing; \
    insert into catalog.product_metric (product_uid, name, value) values ('prd_0000001', 'x', 1) on conflict do \
    nothing";

/// Runs `test` with the catalog service.
async fn with_catalog<T>(test: impl AsyncFnOnce(Target<'_>) -> T) -> T {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    test(Target {
        service: orrery_catalog::SERVICE_NAMES[0],
        channel: server.channel(),
        vocabulary: VOCABULARY,
        database: &database,
        rows: ROWS,
        contents: CONTENTS,
    })
    .await
}

#[tokio::test]
async fn messages_of_the_right_shape_with_wrong_values() {
    assert_both_ways_out(with_catalog(async |target| target.bombard_with_values().await).await);
}

#[tokio::test]
async fn messages_with_broken_bytes() {
    with_catalog(async |target| target.bombard_with_broken_bytes().await).await;
}

#[tokio::test]
async fn any_bytes_at_all() {
    with_catalog(async |target| target.bombard_with_any_bytes().await).await;
}

#[tokio::test]
async fn values_that_nest_without_end() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    for (levels, status) in nesting_statuses() {
        let product = [field(1, b"prd_a"), field(3, &status)].concat();
        let path = |method: &str| format!("/orrery.catalog.v1.CatalogService/{method}");
        let create = vec![field(1, &product).into()];
        let refused = call(&server.channel(), &path("CreateProduct"), create).await.unwrap_err();
        assert_eq!(refusal(&refused).code, Code::InvalidArgument, "{levels}: {refused:?}");
        let write = vec![field(1, b"").into(), field(2, &field(2, &product)).into()];
        let refused = call(&server.channel(), &path("WriteProducts"), write).await.unwrap_err();
        assert_eq!(refusal(&refused).reason, "ROW_REJECTED", "{levels}: {refused:?}");
    }
}
