//! The procedures of the slice.
//!
//! - `purge`: deletes archived artifacts
//! - `refresh`: rebuilds the performance of tags

mod purge;
mod refresh;

use orrery_kit::context::Context;
use orrery_kit::integrity::References;
use orrery_kit::procedures::{Procedure, of_every_slice};

use crate::refresh::Sources;

/// All procedures of the slice, which has these documented references.
pub fn all(context: &Context, references: &References, sources: &Sources) -> Vec<Box<dyn Procedure>> {
    let mut all = of_every_slice(context, references);
    all.push(Box::new(purge::purge_archived()));
    all.push(Box::new(refresh::RefreshTagPerformance::new(sources)));
    all
}
