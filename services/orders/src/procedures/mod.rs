//! The procedures of the slice.
//!
//! - `rebuild_summaries`: computes the sums of all orders again
//!
//! Nothing purges orders, in whatever phase they are: they are records of business that others must be able to look up
//! for years, and no phase of them says that they may go. Who must delete one calls DeleteOrder.

mod rebuild_summaries;

use orrery_kit::context::Context;
use orrery_kit::integrity::References;
use orrery_kit::procedures::{Procedure, of_every_slice};

/// All procedures of the slice, which has these documented references.
pub fn all(context: &Context, references: &References) -> Vec<Box<dyn Procedure>> {
    let mut all = of_every_slice(context, references);
    all.push(Box::new(rebuild_summaries::RebuildOrderSummaries));
    all
}
