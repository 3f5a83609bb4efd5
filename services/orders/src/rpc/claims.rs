//! ClaimDueOrders: gives due orders to workers. No order is claimed without being in the answer: under their locks, and
//! before they are claimed, the orders are measured to see how many fit. An order that does not fit alone is returned
//! with fewer fields, so that it does not block the others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orrery_kit::answer::{AnswerLimit, WrittenResource};
use orrery_kit::collection::view::asked_for;
use orrery_kit::context::{Call, Context, Writes};
use orrery_kit::db::retry::retried;
use orrery_kit::db::{Statement, Transaction, TransactionEnd};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::read::extent::Extent;
use orrery_kit::read::measured::{Fit, measure};
use orrery_kit::read::view::View;
use orrery_kit::resource::key::Key;
use orrery_kit::resource::mask::MaskPath;
use orrery_kit::resource::select::{Selection, put_row_of};
use orrery_kit::write::request_id::{LedgerEntry, digest};
use orrery_kit::write::returned::read_masked;
use orrery_kit::write::start::check_id;
use orrery_proto::orders::v1::ClaimDueOrdersRequest;
use orrery_proto::wire::Encoded;
use prost::Message as _;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tonic::{Request, Response};

use crate::store::claim::{self, LockPolicy};
use crate::store::line_item::LINE_ITEM;
use crate::store::order::ORDER;

/// Orders per claim if the caller gives no limit.
const DEFAULT_CLAIM: usize = 100;
/// Maximum number of orders per claim.
const MAX_CLAIM: usize = 1_000;
/// The longest lease, in seconds.
const MAX_LEASE: i64 = 24 * 60 * 60;
/// How many orders that the database refuses to change one claim skips.
const MAX_PASSED_OVER: usize = 32;
/// How long an attempt waits for the locks of orders that the one before it held and gave back. Another claimer may
/// look at them at the moment; a server that lost the connection keeps its locks until it notices.
const UNLOCKED_WITHIN: Duration = Duration::from_secs(2);
/// How many bytes a claim may add to an order: the new transition, and longer numbers.
const GROWTH: usize = 512;
/// The field number of ClaimDueOrdersResponse.reduced_uids.
const REDUCED_UIDS: u32 = 2;
/// How many bytes the answer with one reduced order needs besides the order: the row's header, and the uid in
/// reduced_uids.
const AROUND: usize = 512;

/// The average size of the orders in the last claims, without and with their lines. It determines how many are locked
/// at once.
#[derive(Debug)]
pub(super) struct Sizes([AtomicUsize; 2]);

impl Default for Sizes {
    fn default() -> Self {
        // The first claim tries as many as the caller asked for.
        Self([AtomicUsize::new(1), AtomicUsize::new(1)])
    }
}

impl Sizes {
    fn of(&self, selection: &Selection) -> &AtomicUsize {
        let lines = selection.children.iter().any(|children| std::ptr::eq(children.resource, &raw const *LINE_ITEM));
        &self.0[usize::from(lines)]
    }

    /// Whether the size of orders is known, so that a claim can take what is likely to fit without looking first.
    fn are_known(&self, selection: &Selection) -> bool {
        self.of(selection).load(Ordering::Relaxed) > 1
    }

    /// How many orders may fit: a few more than on average.
    fn fitting(&self, selection: &Selection, bytes: usize) -> usize {
        bytes / self.of(selection).load(Ordering::Relaxed).max(1) * 5 / 4 + 1
    }

    /// Records the size of some orders. A larger size counts at once, a smaller one gradually.
    fn learn(&self, selection: &Selection, orders: usize, bytes: usize) {
        let Some(size) = bytes.checked_div(orders) else { return };
        let known = self.of(selection);
        let before = known.load(Ordering::Relaxed);
        known.store(if size > before { size } else { before.midpoint(size) }, Ordering::Relaxed);
    }
}

/// The result of one attempt at a claim.
enum Attempt {
    Claimed(Encoded),
    /// Only this many of the first due orders may fit. With 0, the first one does not fit alone.
    Fewer(usize),
    /// The connection was lost while reading this order; the database may return this part of it.
    Reduced(String, Extent),
    /// A lock was held for too long.
    LockTimeout,
    /// The claim in one statement took more than fits, or the database refused it.
    LookFirst,
    /// The database refuses to change one of this many first due orders.
    RefusedAmong(usize),
    /// The database refuses to change this order, with this error.
    Refused(String, Error),
    /// An earlier call of the same request_id claimed these, and they got these revisions.
    Repeated(Vec<(String, i32)>),
}

/// A validated claim. Cheap enough to clone for every attempt.
#[derive(Clone)]
struct Claim {
    mask: Vec<MaskPath>,
    selection: Selection,
    /// Whether the texts of its statements will be used again.
    keep_prepared: bool,
    lease_micros: i64,
    answers: AnswerLimit,
    /// Orders to skip.
    passed_over: Vec<String>,
    /// How a retry is recognised, if the call names itself.
    entry: Option<LedgerEntry>,
}

pub(super) async fn claim(
    context: &Context,
    sizes: &Sizes,
    request: Request<ClaimDueOrdersRequest>,
) -> Result<Response<Encoded>, Error> {
    let call = Call::of(&request)?;
    let writes = context.writes(&call);
    let request = request.into_inner();
    check_id(&request.request_id).map_err(|why| Error::invalid("request_id", why))?;
    let most = match usize::try_from(request.limit) {
        Err(_) => return Err(Error::invalid("limit", "must not be negative")),
        Ok(0) => DEFAULT_CLAIM,
        Ok(limit) => limit.min(MAX_CLAIM).min(writes.limits().max_statement_rows),
    };
    let lease_micros = lease_micros(request.lease)?;
    let mask = asked_for(&ORDER, request.read_mask.as_ref(), request.view, View::Basic)?;
    let selection = Selection::new(&ORDER, &mask);
    let answers = call.answers;
    let asked = ClaimDueOrdersRequest { request_id: String::new(), ..request.clone() };
    let entry = LedgerEntry::of(&writes, "claim", &ORDER, &request.request_id, digest(&asked.encode_to_vec()));
    let claim = Claim {
        mask,
        selection,
        keep_prepared: request.read_mask.is_none(),
        lease_micros,
        answers,
        passed_over: Vec::new(),
        entry,
    };
    let mut limit = most.min(sizes.fitting(&claim.selection, answers.bytes()));
    let (mut reduced, mut locked, mut waits) = (None, LockPolicy::Skip, true);
    let mut passed_over: Vec<String> = Vec::new();
    let mut at_once = sizes.are_known(&claim.selection);
    loop {
        let tried = retried(call.deadline, || {
            let (claim, reduced) = (claim.without(&passed_over), reduced.clone());
            writes.transaction(call.deadline, move |transaction| {
                Box::pin(async move {
                    // A sharded database cannot skip locked orders, and may claim others than were looked at.
                    if at_once && !transaction.is_sharded() {
                        claim.at_once(transaction, limit).await
                    } else if limit > 0 {
                        claim.first(transaction, limit, locked).await
                    } else {
                        claim.alone(transaction, reduced, locked).await
                    }
                })
            })
        });
        match tried.await? {
            Attempt::Claimed(orders) => {
                if limit > 0 {
                    sizes.learn(&claim.selection, orders.rows as usize, orders.len());
                }
                return call.answer(orders);
            }
            Attempt::LookFirst => at_once = false,
            Attempt::Fewer(orders) => {
                sizes.learn(&claim.selection, orders, answers.bytes());
                limit = orders;
            }
            Attempt::Reduced(uid, extent) => reduced = Some((uid, extent)),
            Attempt::Repeated(claimed) => return call.answer(claim.held(&writes, call.deadline, claimed).await?),
            Attempt::LockTimeout => (locked, waits) = (LockPolicy::Skip, false),
            Attempt::RefusedAmong(orders) => limit = orders.div_ceil(2),
            Attempt::Refused(uid, error) => {
                if passed_over.len() >= MAX_PASSED_OVER {
                    return Err(error.of_refused_row(&ORDER, &uid, ""));
                }
                error.warn_of_passed_over(&ORDER, &uid);
                passed_over.push(uid);
                limit = most.min(sizes.fitting(&claim.selection, answers.bytes()));
            }
        }
        // This attempt held orders and gave them back. If the next one skipped what is locked by now, claimers could
        // hide the same orders from each other for ever.
        if waits {
            locked = LockPolicy::Wait;
        }
    }
}

impl Claim {
    /// The same claim, skipping these orders.
    fn without(&self, passed_over: &[String]) -> Self {
        Self { passed_over: passed_over.to_vec(), ..self.clone() }
    }

    /// Claims the first due orders, `limit` at most, without looking at them first. If they do not fit the answer, the
    /// claim is undone.
    async fn at_once(&self, transaction: &mut Transaction<'_>, limit: usize) -> Result<TransactionEnd<Attempt>, Error> {
        if let Some(claimed) = self.claimed_before(transaction).await? {
            return Ok(TransactionEnd::RollBack(Attempt::Repeated(claimed)));
        }
        let most = self.answers.bytes();
        let look_first = || Ok(TransactionEnd::RollBack(Attempt::LookFirst));
        let claim = self.prepared(claim::claim_due(limit, self.lease_micros, &self.selection)?);
        let claimed = match transaction.write_within(claim, 2 * most).await {
            Err(Error::RowRefused(_)) => return look_first(),
            Err(error) if is_for_size(&error) => return look_first(),
            claimed => claimed?,
        };
        if claimed.is_empty() {
            return Ok(TransactionEnd::RollBack(Attempt::Claimed(Encoded::default())));
        }
        let measured = match measure(transaction, &ORDER, &self.selection, &claimed, 0, most).await {
            Ok(Fit::Some(measured)) if measured.keys().len() == claimed.len() => measured,
            Ok(_) => return look_first(),
            Err(error) if is_for_size(&error) => return look_first(),
            Err(error) => return Err(error),
        };
        let orders = measured.answer(&self.selection, &claimed).await?;
        if self.answers.check(orders.len()).is_err() {
            return look_first();
        }
        self.enter(transaction, &claimed, self.selection.columns).await?;
        Ok(TransactionEnd::Commit(Attempt::Claimed(orders)))
    }

    /// The statement that locks the first due orders.
    fn due(
        &self,
        transaction: &Transaction<'_>,
        limit: usize,
        selection: &Selection,
        locked: LockPolicy,
    ) -> Result<Statement, Error> {
        if transaction.is_sharded() {
            claim::due_of_shards(limit, selection, &self.passed_over)
        } else {
            claim::due(limit, selection, locked, &self.passed_over)
        }
    }

    /// Claims the first due orders: as many as fit, at most `limit`.
    async fn first(
        &self,
        transaction: &mut Transaction<'_>,
        limit: usize,
        locked: LockPolicy,
    ) -> Result<TransactionEnd<Attempt>, Error> {
        if let Some(claimed) = self.claimed_before(transaction).await? {
            return Ok(TransactionEnd::RollBack(Attempt::Repeated(claimed)));
        }
        let most = self.answers.bytes();
        let fewer = |orders: usize| Ok(TransactionEnd::RollBack(Attempt::Fewer(orders)));
        if locked == LockPolicy::Wait {
            transaction.fetch(claim::wait_at_most(UNLOCKED_WITHIN)?).await?;
        }
        let due = self.prepared(self.due(transaction, limit, &self.selection, locked)?);
        let rows = match transaction.fetch_first(due, 2 * most).await {
            Ok((rows, _)) if rows.is_empty() => {
                return Ok(TransactionEnd::RollBack(Attempt::Claimed(Encoded::default())));
            }
            Ok((rows, true)) => rows,
            Ok((rows, false)) => return fewer(rows.len() / 2),
            Err(Error::ResultTooLarge(_)) => return fewer(0),
            Err(Error::TransactionConflict(_)) if locked == LockPolicy::Wait => {
                return Ok(TransactionEnd::RollBack(Attempt::LockTimeout));
            }
            Err(error) if is_for_size(&error) => return fewer(limit / 2),
            Err(error) => return Err(error),
        };
        let measured = match measure(transaction, &ORDER, &self.selection, &rows, GROWTH, most).await {
            Ok(Fit::Some(measured)) => measured,
            Ok(Fit::Fewer(orders)) => return fewer(orders),
            Err(error) if is_for_size(&error) => return fewer(rows.len() / 2),
            Err(error) => return Err(error),
        };
        let update = claim::claim(&names(measured.keys()), self.lease_micros, &self.selection)?;
        let claimed = match (transaction.write(self.prepared(update)).await, measured.keys()) {
            (Err(error @ Error::RowRefused(_)), [key]) => {
                return Ok(TransactionEnd::RollBack(Attempt::Refused(ORDER.name_of(key.tuple()), error)));
            }
            (Err(Error::RowRefused(_)), keys) => {
                return Ok(TransactionEnd::RollBack(Attempt::RefusedAmong(keys.len())));
            }
            (claimed, _) => claimed?,
        };
        let orders = measured.answer(&self.selection, &claimed).await?;
        if self.answers.check(orders.len()).is_err() {
            return fewer(measured.keys().len() - 1);
        }
        self.enter(transaction, &claimed, self.selection.columns).await?;
        Ok(TransactionEnd::Commit(Attempt::Claimed(orders)))
    }

    /// Claims the first due order, with as many fields as fit. `reduced` names an order that the database returns only
    /// in part, and that part.
    async fn alone(
        &self,
        transaction: &mut Transaction<'_>,
        reduced: Option<(String, Extent)>,
        locked: LockPolicy,
    ) -> Result<TransactionEnd<Attempt>, Error> {
        if let Some(claimed) = self.claimed_before(transaction).await? {
            return Ok(TransactionEnd::RollBack(Attempt::Repeated(claimed)));
        }
        if locked == LockPolicy::Wait {
            transaction.fetch(claim::wait_at_most(UNLOCKED_WITHIN)?).await?;
        }
        let essential = Selection::new(&ORDER, &Extent::Essential.of(&ORDER, &[]));
        let rows = match transaction.fetch(self.due(transaction, 1, &essential, locked)?).await {
            Err(Error::TransactionConflict(_)) if locked == LockPolicy::Wait => {
                return Ok(TransactionEnd::RollBack(Attempt::LockTimeout));
            }
            rows => rows?,
        };
        let Some(row) = rows.first() else { return Ok(TransactionEnd::RollBack(Attempt::Claimed(Encoded::default()))) };
        let uid: String = row.try_get(0)?;
        let update = claim::claim(std::slice::from_ref(&uid), self.lease_micros, &essential)?;
        match transaction.write(update).await {
            Err(error @ Error::RowRefused(_)) => return Ok(TransactionEnd::RollBack(Attempt::Refused(uid, error))),
            claimed => self.enter(transaction, &claimed?, essential.columns).await?,
        }
        let extent = reduced.filter(|(of, _)| *of == uid).map_or(Extent::Whole, |(_, extent)| extent);
        let answers = self.answers.without(AROUND);
        match (read_masked(transaction, &ORDER, &self.mask, &ORDER.key([&uid])?, answers, extent).await, extent.less())
        {
            (Ok(written), _) => Ok(TransactionEnd::Commit(Attempt::Claimed(one(&written, &uid)))),
            (Err(error), Some(less)) if is_for_size(&error) => {
                Ok(TransactionEnd::RollBack(Attempt::Reduced(uid, less)))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// What an earlier call of the same request_id claimed. Without one this call is entered as the first.
    async fn claimed_before(&self, transaction: &mut Transaction<'_>) -> Result<Option<Vec<(String, i32)>>, Error> {
        let Some(entry) = &self.entry else { return Ok(None) };
        let claimed = entry.enter_text(transaction, "[]").await?;
        claimed.map(|claimed| serde_json::from_str(&claimed).map_err(Error::internal)).transpose()
    }

    /// Keeps which orders were claimed, and the revisions that they got. Both stand behind `columns` columns.
    async fn enter(&self, transaction: &mut Transaction<'_>, rows: &[PgRow], columns: usize) -> Result<(), Error> {
        let Some(entry) = &self.entry else { return Ok(()) };
        let claimed: Result<Vec<(String, i32)>, sqlx::Error> =
            rows.iter().map(|row| Ok((row.try_get(columns)?, row.try_get(columns + 1)?))).collect();
        entry.replace_text(transaction, &serde_json::to_string(&claimed?).map_err(Error::internal)?).await
    }

    /// The answer to a call that repeats an earlier one: those of the orders which that one claimed that are still held
    /// by that claim. The first of them, if all are too large an answer by now.
    async fn held(
        &self,
        writes: &Writes,
        deadline: Deadline,
        mut claimed: Vec<(String, i32)>,
    ) -> Result<Encoded, Error> {
        claimed.sort();
        let mut extent = Extent::Whole;
        loop {
            let read = retried(deadline, || {
                let (claim, claimed) = (self.clone(), claimed.clone());
                writes.transaction(deadline, move |transaction| {
                    Box::pin(async move { claim.still_held(transaction, &claimed, extent).await })
                })
            });
            match read.await? {
                Attempt::Fewer(orders) => claimed.truncate(orders),
                Attempt::Reduced(_, less) => extent = less,
                Attempt::Claimed(orders) => return Ok(orders),
                _ => return Err(Error::internal("a read came to what only a claim comes to")),
            }
        }
    }

    /// Reads the orders of an earlier claim that are still held by it.
    async fn still_held(
        &self,
        transaction: &mut Transaction<'_>,
        claimed: &[(String, i32)],
        extent: Extent,
    ) -> Result<TransactionEnd<Attempt>, Error> {
        let most = self.answers.bytes();
        let fewer = |orders: usize| Ok(TransactionEnd::RollBack(Attempt::Fewer(orders)));
        let rows = match transaction.fetch(claim::held(claimed, &self.selection)?).await {
            Err(error) if is_for_size(&error) && claimed.len() > 1 => return fewer(claimed.len() / 2),
            rows => rows?,
        };
        let uids: Vec<String> =
            rows.iter().map(|row| row.try_get(self.selection.columns)).collect::<Result<_, sqlx::Error>>()?;
        let Some(first) = uids.first() else {
            return Ok(TransactionEnd::RollBack(Attempt::Claimed(Encoded::default())));
        };
        // Both are in the order of the uids, and some that were claimed are not held any more.
        let first_held = |held: usize| {
            let last = &uids[held - 1];
            fewer(claimed.iter().take_while(|(uid, _)| uid <= last).count())
        };
        match measure(transaction, &ORDER, &self.selection, &rows, 0, most).await {
            Ok(Fit::Some(measured)) => {
                let orders = measured.answer(&self.selection, &rows[..measured.keys().len()]).await?;
                if self.answers.check(orders.len()).is_ok() {
                    return Ok(TransactionEnd::RollBack(Attempt::Claimed(orders)));
                }
            }
            Ok(Fit::Fewer(orders)) if orders > 1 => return first_held(orders),
            Err(error) if is_for_size(&error) && rows.len() > 1 => return first_held(rows.len() / 2),
            Ok(Fit::Fewer(_)) => {}
            Err(error) if is_for_size(&error) => {
                return Ok(TransactionEnd::RollBack(Attempt::Reduced(first.clone(), extent.less().unwrap_or(extent))));
            }
            Err(error) => return Err(error),
        }
        let answers = self.answers.without(AROUND);
        match (read_masked(transaction, &ORDER, &self.mask, &ORDER.key([first])?, answers, extent).await, extent.less())
        {
            (Ok(written), _) => Ok(TransactionEnd::RollBack(Attempt::Claimed(one(&written, first)))),
            (Err(error), Some(less)) if is_for_size(&error) => {
                Ok(TransactionEnd::RollBack(Attempt::Reduced(first.clone(), less)))
            }
            (Err(error), _) => Err(error),
        }
    }

    fn prepared(&self, mut statement: Statement) -> Statement {
        statement.keep_prepared = self.keep_prepared;
        statement
    }
}

fn names(keys: &[Key]) -> Vec<String> {
    keys.iter().map(|key| ORDER.name_of(key.tuple())).collect()
}

/// Whether the database did not give out so much; the transaction is of no use any more then.
fn is_for_size(error: &Error) -> bool {
    error.may_be_too_large() || matches!(error, Error::RowTooLarge { .. })
}

/// The answer with one order.
fn one(order: &WrittenResource, uid: &str) -> Encoded {
    let mut body = Vec::with_capacity(order.message.len() + AROUND);
    put_row_of(std::iter::once(&*order.message.body), &mut body);
    let mut tail = Vec::new();
    if !order.omitted.is_empty() {
        prost::encoding::string::encode(REDUCED_UIDS, &uid.to_owned(), &mut tail);
    }
    Encoded { body: body.into(), tail: tail.into(), rows: 1 }
}

/// Validates a lease and converts it to microseconds.
fn lease_micros(lease: Option<prost_types::Duration>) -> Result<i64, Error> {
    let refuse = || Error::invalid("lease", "is required: 1 second to 24 hours");
    let prost_types::Duration { seconds, nanos } = lease.ok_or_else(refuse)?;
    let whole = (1..=MAX_LEASE).contains(&seconds) && (0..1_000_000_000).contains(&nanos);
    if !whole || (seconds == MAX_LEASE && nanos > 0) {
        return Err(refuse());
    }
    Ok(seconds * 1_000_000 + i64::from(nanos) / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_one_second_to_a_day() {
        let lease = |seconds, nanos| lease_micros(Some(prost_types::Duration { seconds, nanos })).ok();
        assert_eq!(lease(1, 0), Some(1_000_000));
        assert_eq!(lease(1, 500_000_999), Some(1_500_000));
        assert_eq!(lease(86_400, 0), Some(86_400_000_000));
        for (seconds, nanos) in [(0, 999_999_999), (86_400, 1), (2, -1), (2, 1_000_000_000), (-1, 0), (i64::MAX, 0)] {
            assert_eq!(lease(seconds, nanos), None, "{seconds} {nanos}");
        }
        assert!(lease_micros(None).is_err());
    }
}
