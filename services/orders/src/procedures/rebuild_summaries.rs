//! `rebuild_order_summaries`: computes the sums of all orders from their lines, and repairs the stored ones that
//! differ.
//!
//! It walks the orders in the order of their uids. The lines of an order may need several steps; then the cursor keeps
//! the sums so far. Nothing is locked while lines are read. Instead an order whose summary differs must still have the
//! revision that it had before its lines were read: every change by the service makes it larger. The update that
//! stores the next revision checks that and locks the order, so no write of a line is lost. An order that has changed
//! is read again.

use std::collections::HashMap;

use futures::future::BoxFuture;
use orrery_kit::db::{CopySource as _, Transaction};
use orrery_kit::error::{Error, Violation};
use orrery_kit::procedures::{Job, Next, Parameter, ParameterKind, Position, Procedure, Run, Step};
use sqlx::Row as _;

use crate::store::rebuild::{Header, RightSummary, StoredSummary};
use crate::store::rebuild::{claim, headers, is_unchanged, lines, store, summaries};
use crate::summary::{Adding, Amounts, Paused, Sums};

/// The most orders of a step.
const ORDERS_AT_ONCE: usize = 1_000;
/// The most lines of a page, and the most pages of a step.
const LINES_AT_ONCE: usize = 5_000;
const PAGES_AT_ONCE: usize = 8;
/// How often an order is read that changes meanwhile, before it is left out. Writes of its lines compute its sums.
const ATTEMPTS: u32 = 8;

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "dry_run",
    kind: ParameterKind::Boolean(false),
    description: "Whether summaries are only compared, and nothing is written.",
}];

/// The procedure.
#[derive(Debug)]
pub(super) struct RebuildOrderSummaries;

impl Procedure for RebuildOrderSummaries {
    fn name(&self) -> &'static str {
        "rebuild_order_summaries"
    }

    fn description(&self) -> &'static str {
        "Computes the summary of each order from its lines, and stores it where it is another one. The shipping stays. \
         Results: checked, the number of orders; different, of them those with a wrong summary; missing, those without \
         one; repaired, the summaries that were stored; skipped, orders whose sums cannot be computed or that changed \
         again and again while they were read."
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn begin(&self, job: &Job) -> Result<Box<dyn Run>, Error> {
        Ok(Box::new(Rebuild { dry_run: job.parameters.boolean("dry_run")? }))
    }
}

/// A run of it.
struct Rebuild {
    dry_run: bool,
}

impl Run for Rebuild {
    fn step<'r>(&'r mut self, at: &'r Position) -> BoxFuture<'r, Result<Step, Error>> {
        let (dry_run, at) = (self.dry_run, at.clone());
        let step = Step::that(move |transaction| Box::pin(rebuild_some(transaction, at.clone(), dry_run)));
        Box::pin(async { Ok(step) })
    }
}

/// Where the rebuild continues.
#[derive(Debug, Default)]
struct Cursor {
    /// The last order that is done.
    after: String,
    /// How often the next order was read, and had changed afterwards.
    attempts: u32,
    /// The part of the next order that was read: the order, its last line, and the sums so far.
    part: Option<(Header, String, Paused)>,
}

/// How a cursor is stored.
type StoredCursor = (String, u32, Option<(String, i32, String, Paused)>);

impl Cursor {
    fn of(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let (after, attempts, part): StoredCursor = serde_json::from_str(text).map_err(Error::internal)?;
        let part = part.map(|(uid, revision, line, sums)| (Header { uid, revision }, line, sums));
        Ok(Self { after, attempts, part })
    }

    fn into_text(self) -> Result<String, Error> {
        let part = self.part.map(|(order, line, sums)| (order.uid, order.revision, line, sums));
        let stored: StoredCursor = (self.after, self.attempts, part);
        serde_json::to_string(&stored).map_err(Error::internal)
    }
}

/// The sums of an order, or why there are none.
type Summed = Result<Adding, Violation>;

/// The orders of a step, and what was read of their lines.
struct Window {
    orders: Vec<Header>,
    sums: Vec<Summed>,
    /// How many of the orders are read to their end.
    complete: usize,
    /// The last line of the order after those, if some of its lines were read.
    last_line: Option<String>,
}

/// What was found out about an order.
enum Finding {
    Right,
    /// It is to be stored; whether there is another one now.
    Wrong(Box<RightSummary>, bool),
    /// The sums cannot be stored.
    Skipped,
}

async fn rebuild_some(transaction: &mut Transaction<'_>, at: Position, dry_run: bool) -> Result<Next, Error> {
    let mut at = if at.step.is_empty() { at.to_step("rebuild") } else { at };
    let mut cursor = Cursor::of(&at.cursor)?;
    for name in ["checked", "different", "missing", "repaired"] {
        at.add(name, 0);
    }
    let most = transaction.limits().max_query_rows.min(transaction.max_statement_rows());
    let orders = headers(transaction, &cursor.after, ORDERS_AT_ONCE.min(most)).await?;
    let Some(first) = orders.first() else { return Ok(Next::Done(at)) };
    let part = cursor.part.take();
    let is_changed = part.as_ref().is_some_and(|(order, ..)| order.uid == first.uid && order != first);
    cursor.attempts += u32::from(is_changed);
    if is_changed && cursor.attempts >= ATTEMPTS {
        at.add("checked", 1);
        at.add("skipped", 1);
        let cursor = Cursor { after: first.uid.clone(), ..Cursor::default() };
        return Ok(Next::Step(at.processed(1).to_cursor(cursor.into_text()?)));
    }
    let part = part.filter(|(order, ..)| order == first);
    let mut window = read_lines(transaction, orders, part, most.min(LINES_AT_ONCE)).await?;
    if window.complete == 0 {
        cursor.part = pause(&mut window);
        if cursor.part.is_none() {
            // The sums cannot be computed, however the order goes on.
            at.add("checked", 1);
            at.add("skipped", 1);
            at = at.processed(1);
            cursor = Cursor { after: window.orders.swap_remove(0).uid, ..Cursor::default() };
        }
        return Ok(Next::Step(at.to_cursor(cursor.into_text()?)));
    }
    let (mut done, mut repairs) = (0, Vec::new());
    for (order, finding) in findings(transaction, &window).await? {
        match finding {
            Finding::Right => {}
            Finding::Skipped => at.add("skipped", 1),
            Finding::Wrong(summary, exists) => {
                let is_as_read =
                    if dry_run { is_unchanged(transaction, order).await? } else { claim(transaction, order).await? };
                if is_as_read {
                    at.add(if exists { "different" } else { "missing" }, 1);
                    repairs.push(*summary);
                } else if done == 0 && cursor.attempts + 1 >= ATTEMPTS {
                    at.add("skipped", 1);
                } else {
                    break;
                }
            }
        }
        done += 1;
    }
    let attempts = match done {
        0 => cursor.attempts + 1,
        done => u32::from(done < window.complete),
    };
    if !dry_run && !repairs.is_empty() {
        transaction.write(store(&repairs)?).await?;
        at.add("repaired", i64::try_from(repairs.len()).unwrap_or(i64::MAX));
    }
    at.add("checked", i64::try_from(done).unwrap_or(i64::MAX));
    if let Some(last) = done.checked_sub(1) {
        cursor.after = window.orders.swap_remove(last).uid;
    }
    cursor.attempts = attempts;
    Ok(Next::Step(at.processed(done).to_cursor(cursor.into_text()?)))
}

/// Reads the lines of some orders, as many as a step may read. The first order may have been read in part.
async fn read_lines(
    transaction: &mut Transaction<'_>,
    orders: Vec<Header>,
    part: Option<(Header, String, Paused)>,
    page: usize,
) -> Result<Window, Error> {
    let mut sums: Vec<Summed> = orders.iter().map(|_| Ok(Adding::default())).collect();
    let (mut from, mut after) = (orders.first().map(|order| order.uid.clone()).unwrap_or_default(), None);
    if let (Some((_, line, paused)), Some(first)) = (&part, sums.first_mut()) {
        *first = Ok(Adding::of_paused(paused).map_err(Error::internal)?);
        after = Some(line.clone());
    }
    let last = orders.last().map(|order| order.uid.clone()).unwrap_or_default();
    let mut place = 0;
    for _ in 0..PAGES_AT_ONCE {
        let rows = lines(transaction, (&from, after.as_deref()), &last, page).await?;
        for row in &rows {
            let order_uid: &str = row.try_get(0)?;
            while orders.get(place).is_some_and(|order| order.uid.as_str() < order_uid) {
                place += 1;
            }
            let Some(sums) = sums.get_mut(place).filter(|_| orders[place].uid == order_uid) else {
                // A line without an order.
                continue;
            };
            if let Ok(adding) = sums {
                let line = Amounts {
                    pieces: row.try_get(2)?,
                    unit_price: row.try_get(3)?,
                    discount: row.try_get(4)?,
                    tax: row.try_get(5)?,
                };
                if let Err(violation) = adding.add(line) {
                    *sums = Err(violation);
                }
            }
        }
        let Some(row) = rows.last().filter(|_| rows.len() >= page) else {
            let complete = orders.len();
            return Ok(Window { orders, sums, complete, last_line: None });
        };
        (from, after) = (row.try_get(0)?, Some(row.try_get(1)?));
    }
    let last_line = after.filter(|_| orders.get(place).is_some_and(|order| order.uid == from));
    Ok(Window { orders, sums, complete: place, last_line })
}

/// What the cursor keeps of the first order, of which some lines were read; `None` if its sums cannot be computed.
fn pause(window: &mut Window) -> Option<(Header, String, Paused)> {
    let paused = window.sums.first()?.as_ref().ok()?.pause().ok()?;
    Some((window.orders.first()?.clone(), window.last_line.take()?, paused))
}

/// Compares the orders that are read to their end with what is stored.
async fn findings<'w>(
    transaction: &mut Transaction<'_>,
    window: &'w Window,
) -> Result<Vec<(&'w Header, Finding)>, Error> {
    let orders = &window.orders[..window.complete];
    let stored: HashMap<String, StoredSummary> = summaries(transaction, orders).await?.into_iter().collect();
    let finding = |(order, sums): (&'w Header, &Summed)| {
        let stored = stored.get(&order.uid);
        let shipping = stored.map(|stored| stored.shipping.as_str());
        let Some((sums, total)) = computed(sums, shipping) else { return (order, Finding::Skipped) };
        match stored {
            Some(stored) if stored.has(&sums, &total) => (order, Finding::Right),
            stored => {
                let order_uid = order.uid.clone();
                (order, Finding::Wrong(Box::new(RightSummary { order_uid, sums, total }), stored.is_some()))
            }
        }
    };
    Ok(orders.iter().zip(&window.sums).map(finding).collect())
}

/// The sums and the total; `None` if one of them cannot be stored.
fn computed(sums: &Summed, shipping: Option<&str>) -> Option<(Sums, orrery_kit::decimal::Decimal)> {
    let sums = sums.as_ref().ok()?.sums().ok()?;
    let total = sums.total(shipping).ok()?;
    Some((sums, total))
}
