//! Writing: chunk by chunk or one by one, the same way for every resource.
//!
//! - [`statement`]: the write of a batch, from the resource, the mode and the update_mask
//! - `rows`, `children`, `assignment`: its SQL: rows of one table, rows that belong to others, one column
//! - [`chunk`]: a chunk's rows, decoded, checked and hashed
//! - [`session`]: the ledger of named writes: how far they have come, and what was committed where
//! - `references`: what rows point at in another slice
//! - [`commit`]: chunks and ledger in one transaction
//! - `search`: the rows of a commit that the database refuses
//! - [`refusal`]: why rows are refused, counted and bounded
//! - [`start`]: what holds for a whole stream, and the grammar of write ids
//! - [`queue`]: what was received and is not committed yet
//! - [`stream`]: the protocol of `WriteX`
//! - [`single`] and [`delete`]: one resource
//! - [`request_id`]: the ledger of calls that name themselves, by which a retry is recognised
//! - [`transition`]: a move along a lifecycle
//! - [`locked`]: one stored row and what is demanded of it
//! - [`returned`]: one row that was written, as the answer
//! - [`attempts`]: tries of a transaction that may have to give way

mod assignment;
pub mod attempts;
mod children;
pub mod chunk;
pub mod commit;
pub mod delete;
pub mod locked;
mod queue;
mod references;
pub mod refusal;
pub mod request_id;
pub mod returned;
mod rows;
mod search;
pub mod session;
pub mod single;
pub mod start;
pub mod statement;
pub mod stream;
pub mod transition;

pub use start::check_id;
