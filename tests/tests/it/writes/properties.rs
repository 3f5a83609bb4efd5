//! Random writes: the responses and the table always equal those of a simple sequential program.

use std::sync::atomic::{AtomicU32, Ordering};

use orrery_proto::r#type::v1::{RowErrorPolicy, WriteMode, WriteStart};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, TestRunner};
use sqlx::Row as _;

use super::Fixture;
use super::model::{self, Fault, Parameters, Row, Stored, Table};
use super::stream::{PRODUCTS, WriteStream, mask};

const KEYS: u8 = 7;
const PAIRS: [(&str, &str); 5] = [("a", "1"), ("b", "2"), ("c", "3"), ("a", "4"), ("b", "")];

fn entries() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    prop_oneof![3 => Just(Vec::new()), 2 => subsequence(&PAIRS[..], 0..3)]
}

fn row() -> impl Strategy<Value = Row> {
    let fault = prop_oneof![20 => Just(Fault::None), 1 => Just(Fault::Invalid), 1 => Just(Fault::Stale)];
    let texts = (select(vec!["", "", "Cup", "Pot"]), select(vec!["", "", "active", "retired"]));
    (0..KEYS, texts, entries(), entries(), entries(), fault).prop_map(
        |(key, (name, phase), details, labels, annotations, fault)| Row {
            key,
            name,
            phase,
            details,
            labels,
            annotations,
            fault,
        },
    )
}

fn parameters() -> impl Strategy<Value = Parameters> {
    let masks: Vec<&'static [&'static str]> = vec![
        &[],
        &["*"],
        &["name"],
        &["labels", "status"],
        &["labels.a", "annotations.b", "status.phase"],
        &["status.details", "annotations"],
        &["status.details.a", "name"],
        &["labels.b", "labels.c"],
    ];
    let modes = prop_oneof![3 => Just(WriteMode::Upsert), 1 => Just(WriteMode::Create), 1 => Just(WriteMode::Update)];
    let policies = prop_oneof![1 => Just(RowErrorPolicy::Stop), 2 => Just(RowErrorPolicy::Skip)];
    (modes, policies, select(masks)).prop_map(|(mode, policy, mask)| Parameters { mode, policy, mask })
}

/// The table's initial rows, and the chunks to write.
type Case = (Vec<Row>, Parameters, Vec<Vec<Row>>);

fn case() -> impl Strategy<Value = Case> {
    let before = vec(row(), 0..6);
    // Some sequences have many small chunks, which share commits, some a few large ones, which need several statements.
    let chunks = prop_oneof![vec(vec(row(), 1..4), 1..14), vec(vec(row(), 1..20), 1..4)];
    (before, parameters(), chunks)
}

async fn stored(fixture: &Fixture, prefix: &str) -> Table {
    let select = "select right(uid, 1)::int, name, status ->> 'phase', (status - 'phase')::text, labels::text, \
        annotations::text \
                  from catalog.product where uid like $1";
    let rows = sqlx::query(select).bind(format!("prd\\_{prefix}-%")).fetch_all(&fixture.pool).await.unwrap();
    rows.iter()
        .map(|row| {
            let json = |at: usize| serde_json::from_str(row.get::<&str, _>(at)).unwrap();
            let stored =
                Stored { name: row.get(1), phase: row.get(2), details: json(3), labels: json(4), annotations: json(5) };
            (row.get::<i32, _>(0) as u8, stored)
        })
        .collect()
}

async fn check(fixture: &Fixture, prefix: &str, (before, parameters, chunks): Case) {
    let channel = || fixture.server.channel();
    let skip = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() };
    let mut table = Table::new();
    if !before.is_empty() {
        let messages: Vec<_> = before.iter().map(|row| row.message(prefix)).collect();
        super::stream::write(channel(), PRODUCTS, skip, &messages).await.1.unwrap();
        let upsert = Parameters { mode: WriteMode::Upsert, policy: RowErrorPolicy::Skip, mask: &[] };
        model::apply(&mut table, upsert, 0, &before);
    }

    let start = WriteStart {
        write_id: prefix.to_owned(),
        mode: parameters.mode.into(),
        on_row_error: parameters.policy.into(),
        update_mask: Some(mask(parameters.mask)),
        ..WriteStart::default()
    };
    let (stream, _) = WriteStream::resume(channel(), PRODUCTS, start).await.unwrap();
    let mut offset = 0;
    for chunk in &chunks {
        stream.send(offset, &chunk.iter().map(|row| row.message(prefix)).collect::<Vec<_>>()).await;
        offset += chunk.len() as i64;
    }
    let (totals, end) = stream.finish().await;

    let (mut answers, mut committed) = (Vec::new(), 0);
    for chunk in &chunks {
        let answer = model::apply(&mut table, parameters, committed, chunk);
        let refused = answer.refused;
        answers.push(answer);
        if refused {
            break;
        }
        committed += chunk.len() as i64;
    }
    let (counts, errors) = model::summed(&answers);
    assert_eq!(end.is_err(), answers.last().is_some_and(|answer| answer.refused), "{end:?}");
    assert_eq!((totals.counts(), model::errors(&totals)), (counts, errors));
    assert_eq!(totals.committed_offset, committed);
    if end.is_ok() {
        assert_eq!(totals.rows(), offset, "every row is counted once");
    }
    assert_eq!(stored(fixture, prefix).await, table);
}

#[test]
fn whatever_is_written_answers_and_table_are_those_of_a_sequential_program() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let fixture = runtime.block_on(Fixture::with(|config| config.stream.write_batch_rows = 6));
    let cases = AtomicU32::new(0);
    let config = Config { cases: 150, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let run = |case| {
        let prefix = format!("case{}", cases.fetch_add(1, Ordering::Relaxed));
        runtime.block_on(check(&fixture, &prefix, case));
        Ok(())
    };
    TestRunner::new(config).run(&case(), run).unwrap();
    let _guard = runtime.enter();
    drop(fixture);
}
