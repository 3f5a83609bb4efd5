//! Any input to ProceduresService: as in [`crate::arbitrary_input`].

use crate::arbitrary_input::generator::Vocabulary;
use crate::arbitrary_input::{Target, assert_both_ways_out};
use crate::harness::{CatalogServer, TestDatabase};

const CONTENTS: &str = "select md5(concat( \
    (select string_agg(e::text, '|' order by uid) from catalog.procedure_execution e), \
    (select string_agg(s::text, '|' order by procedure) from catalog.procedure_schedule s), \
    (select string_agg(o::text, '|' order by relation, missing_uid) from catalog.orphan o)))";

const VOCABULARY: Vocabulary = Vocabulary {
    fitting: |message, field| match (message, field) {
        // Nothing runs here, and a watcher waits for the end.
        ("WatchProcedureExecutionRequest", "uid") => &["exe_done"],
        (_, "uid") => &["exe_waiting", "exe_done"],
        (_, "procedure" | "procedures") => &["detect_orphans", "expire_write_sessions"],
        (_, "relations") => &["a.b.c"],
        (_, "missing_uids") => &["prd_1", "prd_2"],
        (_, "paths") => &["uid", "phase", "relation", "result"],
        (_, "order_by") => &["uid", "create_ts desc", "relation", "relation desc, missing_uid desc"],
        (_, "key") => &["dry_run", "grace", "k"],
        // Valid tokens come from earlier responses.
        _ => &[],
    },
    nasty: &["exe_done", "exe_", "exe_\0", "exe_none", "detect_orphans", "", "make_tea", "a.b.c"],
};

const ROWS: &str = "insert into catalog.procedure_execution (uid, procedure, phase, finish_ts) \
    values ('exe_waiting', 'detect_orphans', 'pending', null), ('exe_done', 'detect_orphans', 'succeeded', now()) \
    on conflict (uid) do update set phase = excluded.phase; \
    insert into catalog.orphan (relation, missing_uid, execution_uid, confirm_ts) \
    values ('a.b.c', 'prd_1', 'exe_done', now()), ('a.b.c', 'prd_2', 'exe_done', null) on conflict do nothing";

async fn with_catalog<T>(test: impl AsyncFnOnce(Target<'_>) -> T) -> T {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start(&database).await;
    test(Target {
        service: orrery_kit::procedures::SERVICE_NAME,
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
