//! A database that is used, and migrations for it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use sqlx::PgConnection;
use tempfile::TempDir;

use crate::harness::operator::{CommandResult, repository, run as run_command};
use crate::harness::{Role, TestDatabase};
use crate::migrations::applied;

pub(super) const SHADE: (&str, &str) = (
    "29990101000000_add_shade.sql",
    "-- migrate:up\n\
     alter table catalog.product add column shade text not null default 'none';\n\n\
     -- migrate:down\n\
     alter table catalog.product drop column shade;\n",
);
pub(super) const SHADE_INDEX: (&str, &str) = (
    "29990101000001_index_shade.sql",
    "-- migrate:up transaction:false\n\
     create index concurrently if not exists product_shade_idx on catalog.product (shade, uid);\n\n\
     -- migrate:down transaction:false\n\
     drop index concurrently if exists catalog.product_shade_idx;\n",
);

/// A migrated database, and a folder with the repository's migrations and some more.
pub(super) struct Fixture {
    pub(super) database: TestDatabase,
    pub(super) operator: PgConnection,
    pub(super) folder: TempDir,
}

impl Fixture {
    pub(super) async fn new(more: &[(&str, &str)]) -> Self {
        let database = TestDatabase::create().await;
        let operator = database.connect(Role::Operator).await;
        let folder = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(repository("migrations")).unwrap() {
            let path = file.unwrap().path();
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
        let fixture = Self { database, operator, folder };
        for (name, text) in more {
            fixture.add(name, text);
        }
        fixture
    }

    pub(super) fn add(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// The arguments of a command of `orrery migrate` on the database and the folder.
    pub(super) fn arguments(&self, words: &str) -> Vec<String> {
        let words = ["migrate"].into_iter().chain(words.split(' ')).map(str::to_owned);
        let url = format!("--database-url={}", self.database.url(Role::Operator));
        words.chain([url, format!("--migrations={}", self.folder.path().display())]).collect()
    }

    pub(super) async fn migrate(&self, words: &str) -> CommandResult {
        let arguments = self.arguments(words);
        run_command(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// Deploys; the command succeeds.
    pub(super) async fn deploy(&self) -> String {
        let result = self.migrate("deploy --yes").await;
        assert_eq!(result.code, Some(0), "{result:?}");
        result.stdout
    }

    /// Deploys; the command fails and changes nothing.
    pub(super) async fn refused(&mut self, words: &str) -> CommandResult {
        let before = (applied(&mut self.operator).await, self.columns().await);
        let result = self.migrate(words).await;
        assert_eq!(result.code, Some(1), "{result:?}");
        assert_eq!((applied(&mut self.operator).await, self.columns().await), before);
        assert_eq!(self.branches().await, 0);
        result
    }

    pub(super) async fn columns(&mut self) -> Vec<String> {
        sqlx::query_scalar(
            "select attname::text from pg_attribute where attrelid = 'catalog.product'::regclass and attnum > 0
                and not attisdropped order by 1",
        )
        .fetch_all(&mut self.operator)
        .await
        .unwrap()
    }

    pub(super) async fn branches(&mut self) -> i64 {
        sqlx::query_scalar("select count(*) from pg_database where datname like current_database() || '\\_branch%'")
            .fetch_one(&mut self.operator)
            .await
            .unwrap()
    }

    /// The deployments: versions and phase.
    pub(super) async fn deployments(&mut self) -> Vec<(Vec<String>, String)> {
        sqlx::query_as("select versions, phase from public.schema_deployments order by create_ts")
            .fetch_all(&mut self.operator)
            .await
            .unwrap()
    }
}

/// The versions of files.
pub(super) fn versions(files: &[(&str, &str)]) -> Vec<String> {
    files.iter().map(|(name, _)| name[..14].to_owned()).collect()
}
