//! Valid rows that the database refuses, because somebody added a constraint or an index: each is rejected alone,
//! whatever the reason, and the other rows are written.

use orrery_proto::catalog::v1::{CreateProductRequest, DeleteProductRequest, Product, UpdateProductRequest};
use orrery_proto::r#type::v1::{ErrorReason, RowErrorPolicy, WriteMode, WriteStart};
use rand::RngExt as _;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::Fixture;
use super::stream::{PRODUCTS, Totals, WriteStream, assert_status, named, product, violated, write};
use crate::harness::{TestDatabase, refusal};

/// What is added to the table, and a value that it refuses.
struct Case {
    name: &'static str,
    sql: &'static str,
    /// Of the product's name or of its annotation `note`.
    bad: fn(&mut Product),
    code: Code,
    field: &'static str,
    reason: ErrorReason,
    state: &'static str,
}

/// A text that stays too large for an index when it is compressed.
fn incompressible(bytes: usize) -> String {
    let mut random = rand::rng();
    (0..bytes).map(|_| char::from(random.random_range(b'!'..b'~'))).collect()
}

fn note(product: &mut Product, note: impl Into<String>) {
    product.annotations.insert("note".to_owned(), note.into());
}

fn bad_name(product: &mut Product) {
    "bad".clone_into(&mut product.name);
}

fn cases() -> Vec<Case> {
    let invalid = |name, sql, bad, field, state| Case {
        name,
        sql,
        bad,
        code: Code::InvalidArgument,
        field,
        reason: ErrorReason::FieldInvalid,
        state,
    };
    vec![
        invalid(
            "check",
            "alter table catalog.product add constraint product_name_check check (name <> 'bad')",
            bad_name,
            "name",
            "23514",
        ),
        invalid(
            "check of another name",
            "alter table catalog.product add constraint theirs check (name <> 'bad')",
            bad_name,
            "",
            "23514",
        ),
        invalid(
            "not null",
            "alter table catalog.product alter column name set not null",
            |product| product.name.clear(),
            "name",
            "23502",
        ),
        invalid(
            "index of a text",
            "create index theirs on catalog.product ((annotations ->> 'note'))",
            |product| note(product, incompressible(4_000)),
            "",
            "54000",
        ),
        invalid(
            "index of a longer text",
            "create index theirs on catalog.product ((annotations ->> 'note'))",
            |product| note(product, incompressible(12_000)),
            "",
            "54000",
        ),
        invalid(
            "division by zero",
            "alter table catalog.product add column theirs numeric \
             generated always as (1 / length(annotations ->> 'note')) stored",
            |product| note(product, ""),
            "",
            "22012",
        ),
        invalid(
            "text that is no number",
            "create index theirs on catalog.product (((annotations ->> 'note')::numeric))",
            |product| note(product, "many"),
            "",
            "22P02",
        ),
        Case {
            name: "unique",
            sql: "create unique index product_name_key on catalog.product (name) where name = 'bad'; \
                  insert into catalog.product (uid, name) values ('prd_holder', 'bad')",
            bad: bad_name,
            code: Code::AlreadyExists,
            field: "name",
            reason: ErrorReason::ResourceExists,
            state: "23505",
        },
        Case {
            name: "exclusion",
            sql: "alter table catalog.product add constraint theirs exclude using btree (name with =) where (name = \
                'bad'); \
                  insert into catalog.product (uid, name) values ('prd_holder', 'bad')",
            bad: bad_name,
            code: Code::AlreadyExists,
            field: "",
            reason: ErrorReason::ResourceExists,
            state: "23P01",
        },
        Case {
            name: "unique, checked late",
            sql: "alter table catalog.product add column theirs text \
                  generated always as (case name when 'bad' then name end) stored; \
                  alter table catalog.product add constraint theirs unique (theirs) deferrable initially deferred; \
                  insert into catalog.product (uid, name) values ('prd_holder', 'bad')",
            bad: bad_name,
            code: Code::AlreadyExists,
            field: "",
            reason: ErrorReason::ResourceExists,
            state: "23505",
        },
        Case {
            name: "foreign key",
            sql: "create table public.name (name text primary key); \
                  insert into public.name select 'Product ' || n from generate_series(0, 9999) as n; \
                  insert into public.name values ('before'), (''); \
                  alter table catalog.product add constraint product_name_fkey \
                  foreign key (name) references public.name",
            bad: bad_name,
            code: Code::FailedPrecondition,
            field: "name",
            reason: ErrorReason::ReferenceMissing,
            state: "23503",
        },
    ]
}

/// A product that satisfies all constraints here.
fn good(number: usize) -> Product {
    let mut good = product(&format!("{number:07}"), &format!("Product {number}"));
    note(&mut good, number.to_string());
    good
}

impl Case {
    async fn fixture(&self, exists: usize) -> Fixture {
        let fixture = Fixture::new().await;
        self.add_to(&fixture, exists).await;
        fixture
    }

    /// Adds the constraint, and stores this many rows, which the write changes.
    async fn add_to(&self, fixture: &Fixture, exists: usize) {
        sqlx::raw_sql(self.sql).execute(&fixture.pool).await.unwrap();
        self.store(fixture, exists).await;
    }

    async fn store(&self, fixture: &Fixture, exists: usize) {
        let rows: Vec<Product> =
            (0..exists).map(|number| Product { name: "before".to_owned(), ..good(number) }).collect();
        if !rows.is_empty() {
            write(fixture.server.channel(), PRODUCTS, WriteStart::default(), &rows).await.1.unwrap();
        }
    }

    fn rows(&self, count: usize, bad: &[usize]) -> Vec<Product> {
        let mut rows: Vec<Product> = (0..count).map(good).collect();
        for at in bad {
            (self.bad)(&mut rows[*at]);
        }
        rows
    }

    #[track_caller]
    fn assert_reported(&self, totals: &Totals, offsets: &[i64]) {
        let name = self.name;
        assert_eq!(totals.errors.iter().map(|error| error.offset).collect::<Vec<_>>(), offsets, "{name}");
        assert_eq!(totals.rejected, offsets.len() as i64, "{name}");
        for error in &totals.errors {
            let told = (Code::from_i32(error.code), error.reason(), error.field.as_str());
            assert_eq!(told, (self.code, self.reason, self.field), "{name}: {error:?}");
            self.assert_says_no_more(&error.message);
        }
    }

    /// The error names the constraint, but contains no statement, no row and no server message.
    #[track_caller]
    fn assert_says_no_more(&self, message: &str) {
        assert!(message.contains("the database") || message.contains("does not exist"), "{}: {message}", self.name);
        for secret in
            ["insert", "update", "copy", "select", "catalog.", "secret", "Failing row", "violates", "SQLSTATE"]
        {
            assert!(!message.to_lowercase().contains(&secret.to_lowercase()), "{}: {message}", self.name);
        }
    }
}

fn skipping() -> WriteStart {
    WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..WriteStart::default() }
}

async fn written(fixture: &Fixture) -> i64 {
    fixture.count("catalog.product where name like 'Product %'").await
}

/// New rows by `insert`, new rows by `copy`, and existing rows.
#[tokio::test]
async fn skip_writes_every_other_row() {
    for case in cases() {
        let fixture = case.fixture(0).await;
        for (count, exists) in [(9, 0), (9, 9), (40, 20)] {
            // An update keeps a name that is not sent.
            if case.name == "not null" && exists > 0 {
                continue;
            }
            sqlx::raw_sql("delete from catalog.product where uid <> 'prd_holder'")
                .execute(&fixture.pool)
                .await
                .unwrap();
            case.store(&fixture, exists).await;
            let bad = [0, 4, count - 1];
            let rows = case.rows(count, &bad);
            let start = || WriteStart { write_id: format!("{count}/{exists}"), ..skipping() };
            let (totals, end) = write(fixture.server.channel(), PRODUCTS, start(), &rows).await;
            end.unwrap_or_else(|status| unreachable!("{} {count} {exists}: {status:?}", case.name));
            case.assert_reported(&totals, &bad.map(|at| at as i64));
            let updated = bad.iter().filter(|&&at| at >= exists).count();
            let created = (count - exists) as i64 - updated as i64;
            let counts = [created, (count - 3) as i64 - created, 0, 3, 0];
            assert_eq!((totals.committed_offset, totals.counts()), (count as i64, counts), "{}", case.name);
            assert_eq!(written(&fixture).await, (count - 3) as i64, "{}", case.name);
            let logged = fixture.database.postgres().logged(fixture.database.name(), &[case.state]);
            assert!(!logged.is_empty(), "{}: the server never reported {}", case.name, case.state);
            // The ledger was changed together with the rows.
            let (mut stream, offset) = WriteStream::resume(fixture.server.channel(), PRODUCTS, start()).await.unwrap();
            assert_eq!(offset, count as i64);
            stream.send(0, &rows).await;
            assert_eq!(stream.acknowledged(count as i64).await.unwrap().rows(), 0);
        }
    }
}

#[tokio::test]
async fn a_few_of_many_rows_are_found() {
    let cases = cases();
    for (case, count) in [(&cases[0], 5_000), (&cases[3], 5_000), (&cases[8], 5_000)] {
        let fixture = case.fixture(0).await;
        let bad = [7, 8, 9, 2_500, 4_998, 4_999];
        let mut rows = case.rows(count, &bad);
        // More than are written by insert.
        for row in &mut rows {
            row.annotations.insert("text".to_owned(), "x".repeat(200));
        }
        let (totals, end) = write(fixture.server.channel(), PRODUCTS, skipping(), &rows).await;
        end.unwrap();
        case.assert_reported(&totals, &bad.map(|at| at as i64));
        assert_eq!(totals.counts(), [count as i64 - 6, 0, 0, 6, 0]);
        assert_eq!(written(&fixture).await, count as i64 - 6);
    }
}

#[tokio::test]
async fn stop_writes_nothing_of_the_chunk() {
    for case in cases() {
        let fixture = case.fixture(2).await;
        let mut stream = WriteStream::open(fixture.server.channel(), PRODUCTS, WriteStart::default()).await.unwrap();
        let rows = case.rows(20, &[13, 15]);
        stream.send(0, &rows[..10]).await;
        assert_eq!(stream.acknowledged(10).await.unwrap().counts(), [8, 2, 0, 0, 0]);
        stream.send(10, &rows[10..]).await;
        let (totals, status) = stream.ended().await;
        assert_eq!(assert_status(&status, Code::InvalidArgument, "ROW_REJECTED")["offset"], "13", "{}", case.name);
        let path = format!("chunk.products[3].{}", case.field);
        assert_eq!(violated(&status), path.trim_end_matches('.'), "{}", case.name);
        case.assert_says_no_more(status.message());
        case.assert_reported(&totals, &[13, 15]);
        assert_eq!(written(&fixture).await, 10, "{}", case.name);
    }
}

/// A write that is rolled back at the end reports the same.
#[tokio::test]
async fn a_dry_run_tells_which_rows_are_refused() {
    for case in cases() {
        let fixture = case.fixture(0).await;
        let start = WriteStart { validate_only: true, ..skipping() };
        let (totals, end) = write(fixture.server.channel(), PRODUCTS, start, &case.rows(9, &[1, 3])).await;
        end.unwrap();
        case.assert_reported(&totals, &[1, 3]);
        assert_eq!(written(&fixture).await, 0);
    }
}

/// Two rows that exclude each other: the first by key is written.
#[tokio::test]
async fn of_rows_that_exclude_each_other_one_is_written() {
    let fixture = Fixture::new().await;
    sqlx::raw_sql("create unique index theirs on catalog.product (name) where name like 'only %'")
        .execute(&fixture.pool)
        .await
        .unwrap();
    let mut rows: Vec<Product> = (0..100).map(good).collect();
    for at in [3, 50, 51, 99] {
        rows[at].name = "only one".to_owned();
    }
    for _ in 0..2 {
        let (totals, end) = write(fixture.server.channel(), PRODUCTS, skipping(), &rows).await;
        end.unwrap();
        let offsets: Vec<i64> = totals.errors.iter().map(|error| error.offset).collect();
        assert_eq!(offsets, [50, 51, 99]);
        assert!(totals.errors.iter().all(|error| error.code == 6 && error.reason() == ErrorReason::ResourceExists));
        assert_eq!(fixture.count("catalog.product").await, 97);
    }
}

/// The search is limited. At its limit nothing of the chunk is written, whatever the policy.
#[tokio::test]
async fn more_refused_rows_than_are_looked_for_end_the_stream() {
    let case = &cases()[0];
    let fixture = case.fixture(0).await;
    let some: Vec<usize> = (0..200).step_by(5).collect();
    let (totals, end) = write(fixture.server.channel(), PRODUCTS, skipping(), &case.rows(200, &some)).await;
    end.unwrap();
    case.assert_reported(&totals, &some.iter().map(|at| *at as i64).collect::<Vec<_>>());
    let all: Vec<usize> = (0..3_000).collect();
    let (totals, end) = write(fixture.server.channel(), PRODUCTS, skipping(), &case.rows(3_000, &all)).await;
    assert_status(&end.unwrap_err(), Code::InvalidArgument, "ROW_REJECTED");
    assert_eq!(totals.committed_offset, 0);
    // How many are found depends on the time it takes.
    assert!(totals.rejected >= 100, "{}", totals.rejected);
    assert_eq!(written(&fixture).await, 160);
}

/// Many small chunks wait for one commit; two of them have a refused row.
#[tokio::test]
async fn chunks_that_share_a_commit_are_judged_one_by_one() {
    for policy in [RowErrorPolicy::Stop, RowErrorPolicy::Skip] {
        let case = &cases()[0];
        let fixture = case.fixture(0).await;
        let held = fixture.hold("catalog.product").await;
        let start = WriteStart { on_row_error: policy.into(), ..WriteStart::default() };
        let stream = WriteStream::open(fixture.server.channel(), PRODUCTS, start).await.unwrap();
        let rows = case.rows(20, &[11, 15]);
        stream.send(0, &rows[..1]).await;
        fixture.until_blocked().await;
        for at in 1..20 {
            stream.send(at as i64, &rows[at..=at]).await;
        }
        held.rollback().await.unwrap();
        let (totals, end) = stream.finish().await;
        if policy == RowErrorPolicy::Skip {
            end.unwrap();
            case.assert_reported(&totals, &[11, 15]);
            assert_eq!((totals.committed_offset, written(&fixture).await), (20, 18));
        } else {
            assert_eq!(assert_status(&end.unwrap_err(), Code::InvalidArgument, "ROW_REJECTED")["offset"], "11");
            case.assert_reported(&totals, &[11]);
            assert_eq!((totals.committed_offset, written(&fixture).await), (11, 11));
        }
    }
}

/// Nothing prepared or set outlives a transaction, so the search works through a pooler.
#[tokio::test]
async fn refused_rows_are_found_through_a_pooler() {
    let case = &cases()[0];
    let fixture = Fixture::on(TestDatabase::pooled().await, |_| ()).await;
    case.add_to(&fixture, 10).await;
    let (totals, end) = write(fixture.server.channel(), PRODUCTS, skipping(), &case.rows(100, &[3, 77])).await;
    end.unwrap();
    case.assert_reported(&totals, &[3, 77]);
    assert_eq!(written(&fixture).await, 98);
}

/// A key that another transaction creates at the same moment is not a refusal, whatever the name of the key's index:
/// the row is then updated.
#[tokio::test]
async fn a_key_that_is_created_meanwhile_is_found_also_while_refused_rows_are_looked_for() {
    let case = &cases()[0];
    for rename in ["", "alter table catalog.product rename constraint product_pkey to theirs"] {
        let fixture = case.fixture(0).await;
        sqlx::raw_sql(rename).execute(&fixture.pool).await.unwrap();
        for bad in [&[0][..], &[]] {
            sqlx::raw_sql("delete from catalog.product").execute(&fixture.pool).await.unwrap();
            let mut held = fixture.pool.begin().await.unwrap();
            sqlx::raw_sql("insert into catalog.product (uid, name) values ('prd_0000005', 'theirs')")
                .execute(&mut *held)
                .await
                .unwrap();
            let (channel, rows) = (fixture.server.channel(), case.rows(9, bad));
            let written = tokio::spawn(async move { write(channel, PRODUCTS, skipping(), &rows).await });
            fixture.until_blocked().await;
            held.commit().await.unwrap();
            let (totals, end) = written.await.unwrap();
            end.unwrap();
            case.assert_reported(&totals, &bad.iter().map(|at| *at as i64).collect::<Vec<_>>());
            assert_eq!(totals.counts(), [8 - bad.len() as i64, 1, 0, bad.len() as i64, 0], "{rename}");
        }
    }
}

/// All valid values fit into the existing indexes, even if they are incompressible and cannot be composed.
#[tokio::test]
async fn no_value_of_the_contract_is_too_large_for_an_index() {
    let fixture = Fixture::new().await;
    let row = Product {
        uid: format!("prd_{}", "Zz.-_09aB".repeat(14).split_at(124).0),
        name: incompressible(2_048),
        status: Some(crate::harness::status(&incompressible(63))),
        labels: (0..64).map(|number| (format!("key-{number}/{}", "k".repeat(63)), incompressible(900))).collect(),
        annotations: (0..30).map(|number| (format!("key-{number}"), incompressible(8_000))).collect(),
        ..Product::default()
    };
    let (totals, end) = write(fixture.server.channel(), PRODUCTS, WriteStart::default(), &[row]).await;
    end.unwrap();
    assert_eq!(totals.created, 1);
}

#[tokio::test]
async fn a_single_write_is_told_what_is_refused() {
    for case in cases() {
        let fixture = case.fixture(2).await;
        let mut client = fixture.server.client();
        let bad = |number| case.rows(number + 1, &[number]).pop();
        let create = CreateProductRequest { product: bad(5), ..CreateProductRequest::default() };
        let update = |number, allow_missing| UpdateProductRequest {
            product: bad(number),
            allow_missing,
            update_mask: None,
            ..UpdateProductRequest::default()
        };
        let mut refused = vec![client.create_product(create).await.unwrap_err()];
        // An update keeps a name that is empty.
        if case.name != "not null" {
            refused.push(client.update_product(update(1, false)).await.unwrap_err());
        }
        refused.push(client.update_product(update(6, true)).await.unwrap_err());
        for status in refused {
            let told = refusal(&status);
            let reason = case.reason.as_str_name().trim_start_matches("ERROR_REASON_");
            assert_eq!((told.code, told.reason.as_str()), (case.code, reason), "{}: {status:?}", case.name);
            let field = format!("product.{}", case.field);
            assert_eq!(violated(&status), field.trim_end_matches('.'), "{}: {status:?}", case.name);
            let named =
                status.get_details_resource_info().is_some_and(|info| info.resource_name.starts_with("prd_000000"));
            assert_eq!(named, case.code == Code::AlreadyExists, "{}: {status:?}", case.name);
            case.assert_says_no_more(status.message());
        }
        assert_eq!(
            fixture.count("catalog.product where name = 'bad' and uid <> 'prd_holder'").await,
            0,
            "{}",
            case.name
        );
    }
}

#[tokio::test]
async fn what_is_pointed_at_is_not_deleted() {
    let fixture = Fixture::new().await;
    write(fixture.server.channel(), PRODUCTS, WriteStart::default(), &[good(1)]).await.1.unwrap();
    sqlx::raw_sql(
        "create table public.offer (product_uid text references catalog.product (uid)); \
         insert into public.offer values ('prd_0000001')",
    )
    .execute(&fixture.pool)
    .await
    .unwrap();
    let delete = || DeleteProductRequest { uid: "prd_0000001".to_owned(), ..DeleteProductRequest::default() };
    let refused = fixture.server.client().delete_product(delete()).await.unwrap_err();
    assert_status(&refused, Code::FailedPrecondition, "RESOURCE_REFERENCED");
    assert!(refused.message().contains("prd_0000001: something else still points at it"), "{refused:?}");
    sqlx::raw_sql("delete from public.offer").execute(&fixture.pool).await.unwrap();
    fixture.server.client().delete_product(delete()).await.unwrap();
}

/// A mode that does not write the refused rows needs no search; one that only updates does.
#[tokio::test]
async fn every_mode_finds_them() {
    let case = &cases()[0];
    for mode in [WriteMode::Create, WriteMode::Update, WriteMode::Upsert] {
        let fixture = case.fixture(if mode == WriteMode::Update { 9 } else { 0 }).await;
        let start = WriteStart { mode: mode.into(), ..named("w") };
        let start = WriteStart { on_row_error: RowErrorPolicy::Skip.into(), ..start };
        let (totals, end) = write(fixture.server.channel(), PRODUCTS, start, &case.rows(9, &[2])).await;
        end.unwrap();
        case.assert_reported(&totals, &[2]);
        assert_eq!(written(&fixture).await, 8);
    }
}
