//! The table `records.upload`, and with [`removals`](super::removals) `records.object_removal`. Every object that is
//! not the content of a document has a row in one of them, written before the object: an upload that is not finished,
//! or an object to remove. A finished upload becomes the content of a document in the transaction that deletes its row.

use std::time::Duration;

use orrery_kit::db::array::{ArrayParameter, ElementType, ValueParameter};
use orrery_kit::db::retry::retried;
use orrery_kit::db::{Database, Statement, Transaction, TransactionEnd};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::hash::{ContentHash, Hasher};
use super::removals::plan_removal;
use super::store::ObjectKey;
use super::upload::UploadProgress;

/// The database's time, in microseconds since 2000.
const NOW: &str = "(extract(epoch from now() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::bigint";
/// How often an upload is tried to be taken over that other streams are just storing.
const MAX_TAKES: usize = 3;
/// How many rows a statement of the sweep takes.
pub(super) const SWEEP_ROWS: usize = 100;

/// A row of `records.upload`.
#[derive(Debug)]
pub(super) struct UploadRow {
    /// Grows with each stream of the upload. Only the newest one may change the row.
    pub(super) fence: i64,
    pub(super) key: ObjectKey,
    /// All parts but the last have this size.
    pub(super) part_bytes: usize,
    /// The bytes that are stored in parts.
    pub(super) offset: u64,
    /// The id of the unfinished object.
    pub(super) multipart_id: Option<String>,
    /// The ids of its parts.
    pub(super) part_ids: Vec<String>,
    /// The hash of the stored bytes.
    pub(super) hasher: Hasher,
    /// The size of the finished object.
    pub(super) stored_bytes: Option<u64>,
}

/// Which upload, and which stream of it.
#[derive(Clone, Debug)]
pub(super) struct UploadFence {
    pub(super) upload_id: String,
    pub(super) fence: i64,
}

/// The access to both tables.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    pub(super) database: Database,
    /// How long an upload without a new part is kept.
    lifetime: Duration,
}

impl Ledger {
    pub(super) fn new(database: Database, lifetime: Duration) -> Self {
        Self { database, lifetime }
    }

    /// Takes an upload over from its older streams. `None` if it is not stored.
    ///
    /// # Errors
    /// [`Error::WriteMismatch`] if it was begun with another hash; [`Error::WriteTakenOver`] if other streams come and
    /// go meanwhile; errors of the database.
    pub(super) async fn take_over(
        &self,
        upload_id: &str,
        hash: ContentHash,
        deadline: Deadline,
    ) -> Result<Option<UploadRow>, Error> {
        let take = Statement::new(
            "update records.upload as t
   set fence = t.fence + 1, update_ts = now(), expire_ts = now() + $3 * interval '1 microsecond'
 where t.upload_id = $1 and t.content_hash = $2
returning t.fence, t.object_key, t.part_bytes, t.committed_offset, t.multipart_id, t.part_ids, t.hash_state,
          t.stored_bytes",
            1,
        )
        .bind(upload_id)?
        .bind(hash.0.as_slice())?
        .bind(self.lifetime_micros())?;
        let other = Statement::new("select t.content_hash = $2 from records.upload as t where t.upload_id = $1", 1)
            .bind(upload_id)?
            .bind(hash.0.as_slice())?;
        for _ in 0..MAX_TAKES {
            if let Some(row) = self.write(take.clone(), deadline).await?.first() {
                return Ok(Some(UploadRow::of(row)?));
            }
            match self.database.fetch(&other, deadline).await?.first() {
                None => return Ok(None),
                // Another stream has just stored it.
                Some(row) if row.try_get(0)? => {}
                Some(_) => return Err(Error::WriteMismatch("start.upload_id", "content_hash")),
            }
        }
        Err(Error::WriteTakenOver)
    }

    /// How far an upload is.
    ///
    /// # Errors
    /// Errors of the database.
    pub(super) async fn progress(&self, upload_id: &str, deadline: Deadline) -> Result<UploadProgress, Error> {
        let select = Statement::new(
            "select coalesce(t.stored_bytes, t.committed_offset), t.stored_bytes is not null
  from records.upload as t
 where t.upload_id = $1",
            1,
        )
        .bind(upload_id)?;
        let rows = self.database.fetch(&select, deadline).await?;
        let Some(row) = rows.first() else { return Ok(UploadProgress::default()) };
        let offset = u64::try_from(row.try_get::<i64, _>(0)?).map_err(Error::internal)?;
        Ok(UploadProgress { offset, is_complete: row.try_get(1)? })
    }

    /// Stores a new upload, before anything of its object is stored.
    ///
    /// # Errors
    /// [`Error::WriteTakenOver`] if another stream has stored it since this one began; errors of the database.
    pub(super) async fn insert(
        &self,
        upload_id: &str,
        hash: ContentHash,
        row: &UploadRow,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let insert = Statement::new(
            "insert into records.upload
       (upload_id, object_key, content_hash, part_bytes, multipart_id, fence, expire_ts)
values ($1, $2, $3, $4, $5, $6, now() + $7 * interval '1 microsecond')
on conflict (upload_id) do nothing
returning 1",
            1,
        )
        .bind(upload_id)?
        .bind(row.key.as_str())?
        .bind(hash.0.as_slice())?
        .bind(row.part_bytes as i64)?
        .bind(row.multipart_id.as_deref())?
        .bind(row.fence)?
        .bind(self.lifetime_micros())?;
        self.must_write(insert, deadline).await
    }

    /// Begins the parts of a stored upload: all that it had is forgotten.
    ///
    /// # Errors
    /// [`Error::WriteTakenOver`]; errors of the database.
    pub(super) async fn begin_parts(
        &self,
        of: &UploadFence,
        multipart_id: Option<&str>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let begin = Statement::new(
            "update records.upload as t
   set multipart_id = $3, committed_offset = 0, part_ids = '{}', hash_state = null, update_ts = now(),
       expire_ts = now() + $4 * interval '1 microsecond'
 where t.upload_id = $1 and t.fence = $2 and t.stored_bytes is null
returning 1",
            1,
        );
        let begin = of.bind(begin)?.bind(multipart_id)?.bind(self.lifetime_micros())?;
        self.must_write(begin, deadline).await
    }

    /// Adds a stored part: its id, the offset after it, and the state of the hash there.
    ///
    /// # Errors
    /// [`Error::WriteTakenOver`]; errors of the database.
    pub(super) async fn add_part(
        &self,
        of: &UploadFence,
        part_id: &str,
        offsets: (u64, u64),
        hasher: &Hasher,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let add = Statement::new(
            "update records.upload as t
   set committed_offset = $4, part_ids = array_append(t.part_ids, $5), hash_state = $6, update_ts = now(),
       expire_ts = now() + $7 * interval '1 microsecond'
 where t.upload_id = $1 and t.fence = $2 and t.committed_offset = $3 and t.stored_bytes is null
returning 1",
            1,
        );
        let (from, to) = offsets;
        let add = of
            .bind(add)?
            .bind(from as i64)?
            .bind(to as i64)?
            .bind(part_id)?
            .bind(hasher.state())?
            .bind(self.lifetime_micros())?;
        self.must_write(add, deadline).await
    }

    /// Notes that the object is finished.
    ///
    /// # Errors
    /// [`Error::WriteTakenOver`]; errors of the database.
    pub(super) async fn finish(&self, of: &UploadFence, bytes: u64, deadline: Deadline) -> Result<(), Error> {
        let finish = Statement::new(
            "update records.upload as t
   set stored_bytes = $3, update_ts = now(), expire_ts = now() + $4 * interval '1 microsecond'
 where t.upload_id = $1 and t.fence = $2 and t.stored_bytes is null
returning 1",
            1,
        );
        let finish = of.bind(finish)?.bind(bytes as i64)?.bind(self.lifetime_micros())?;
        self.must_write(finish, deadline).await
    }

    /// Gives an upload up: its object is to be removed. False if another stream has taken it over.
    ///
    /// # Errors
    /// Errors of the database.
    pub(super) async fn give_up(&self, of: &UploadFence, deadline: Deadline) -> Result<bool, Error> {
        retried(deadline, || {
            let of = of.clone();
            self.database.transaction(deadline, move |transaction| {
                Box::pin(async move {
                    let delete = Statement::new(
                        "delete from records.upload as t
 where t.upload_id = $1 and t.fence = $2
returning t.object_key, t.multipart_id",
                        1,
                    );
                    let given_up = transaction.write(of.bind(delete)?).await?;
                    plan_removal(transaction, &given_up, None).await?;
                    Ok(TransactionEnd::Commit(!given_up.is_empty()))
                })
            })
        })
        .await
    }

    /// Gives up to [`SWEEP_ROWS`] uploads up that have expired at `now`, in microseconds since 2000, and returns how
    /// many those are. An upload that got a part in the meantime stays.
    ///
    /// # Errors
    /// Errors of the database.
    pub(super) async fn give_up_expired(&self, now: i64, deadline: Deadline) -> Result<usize, Error> {
        let expired = Statement::new(
            format!(
                "select t.upload_id
  from records.upload as t
 where t.expire_ts <= $1
 order by t.expire_ts
 limit {SWEEP_ROWS}"
            ),
            SWEEP_ROWS,
        )
        .bind(timestamp(now))?;
        let rows = self.database.fetch(&expired, deadline).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let ids: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        retried(deadline, || {
            let ids = ids.clone();
            self.database.transaction(deadline, move |transaction| {
                Box::pin(async move {
                    let delete = Statement::new(
                        "delete from records.upload as t
 where t.upload_id = any ($1) and t.expire_ts <= $2
returning t.object_key, t.multipart_id",
                        ids.len(),
                    )
                    .bind(ArrayParameter::texts(&ids))?
                    .bind(timestamp(now))?;
                    let given_up = transaction.write(delete).await?;
                    plan_removal(transaction, &given_up, Some(now)).await?;
                    Ok(TransactionEnd::Commit(given_up.len()))
                })
            })
        })
        .await
    }

    /// The database's time, in microseconds since 2000.
    ///
    /// # Errors
    /// Errors of the database.
    pub(super) async fn now(&self, deadline: Deadline) -> Result<i64, Error> {
        let now = Statement::new(format!("select {NOW}"), 1);
        let rows = self.database.fetch(&now, deadline).await?;
        Ok(rows.first().ok_or_else(|| Error::internal("no time"))?.try_get(0)?)
    }

    fn lifetime_micros(&self) -> f64 {
        micros(self.lifetime) as f64
    }

    async fn must_write(&self, statement: Statement, deadline: Deadline) -> Result<(), Error> {
        if self.write(statement, deadline).await?.is_empty() { Err(Error::WriteTakenOver) } else { Ok(()) }
    }

    /// Runs one statement, which is committed on its own.
    pub(super) async fn write(&self, statement: Statement, deadline: Deadline) -> Result<Vec<PgRow>, Error> {
        retried(deadline, || {
            let statement = statement.clone();
            self.database.lazy_transaction(deadline, move |transaction| {
                Box::pin(async move { Ok(TransactionEnd::Commit(transaction.write_alone(statement).await?)) })
            })
        })
        .await
    }
}

impl UploadFence {
    fn bind(&self, statement: Statement) -> Result<Statement, Error> {
        statement.bind(&self.upload_id)?.bind(self.fence)
    }

    /// Deletes the row of a finished upload, whose object becomes the content of a document in this transaction.
    ///
    /// # Errors
    /// [`Error::WriteTakenOver`] if the upload was given up or taken over; errors of the database.
    pub(super) async fn adopt(&self, transaction: &mut Transaction<'_>) -> Result<(), Error> {
        let delete = Statement::new(
            "delete from records.upload as t
 where t.upload_id = $1 and t.fence = $2 and t.stored_bytes is not null
returning 1",
            1,
        );
        let deleted = transaction.write(self.bind(delete)?).await?;
        if deleted.is_empty() { Err(Error::WriteTakenOver) } else { Ok(()) }
    }
}

impl UploadRow {
    fn of(row: &PgRow) -> Result<Self, Error> {
        let size = |bytes: i64| u64::try_from(bytes).map_err(Error::internal);
        let (key, state): (String, Option<Vec<u8>>) = (row.try_get(1)?, row.try_get(6)?);
        let hasher = state.map(|state| Hasher::restore(&state)).transpose()?.unwrap_or_default();
        Ok(Self {
            fence: row.try_get(0)?,
            key: ObjectKey::parse(&key).ok_or_else(|| Error::internal("an upload has a key of another kind"))?,
            part_bytes: usize::try_from(row.try_get::<i64, _>(2)?).map_err(Error::internal)?,
            offset: size(row.try_get(3)?)?,
            multipart_id: row.try_get(4)?,
            part_ids: row.try_get(5)?,
            hasher,
            stored_bytes: row.try_get::<Option<i64>, _>(7)?.map(size).transpose()?,
        })
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn timestamp(micros: i64) -> ValueParameter {
    ValueParameter::new(ElementType::Timestamp, Some(&micros.to_be_bytes()))
}
