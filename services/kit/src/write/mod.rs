//! Writing: chunk by chunk or one by one, the same way for every resource.
//!
//! - [`statement`]: the write of a batch: the one way into the database
//! - `rows`, `children`, `assignment`: its SQL: rows of one table, rows that belong to others, one column
//! - [`chunk`]: a chunk's rows, decoded, checked and hashed
//! - [`session`]: the ledger of named writes: how far they have come, and what was committed where
//! - `references`: whether what rows refer to exists
//! - [`commit`]: chunks and ledger in one transaction
//! - `search`: the rows of a commit that the database refuses
//! - [`refusal`]: why rows are refused, counted and bounded
//! - [`start`]: what holds for a whole stream, and the grammar of write ids
//! - [`queue`]: what was received and is not committed yet
//! - [`stream`]: the protocol of `WriteX`
//! - [`single`] and [`delete`]: one resource
//! - [`request_id`]: the ledger of calls that name themselves, by which a retry is recognised
//! - [`change`]: a domain step on one stored resource
//! - [`stored`]: stored rows and what is demanded of them
//! - `unique`: columns that are unique beside the key
//! - `at_once`: the create of one row in one statement
//! - `update_one`: the update of one row in one statement
//! - `sql`: the statements, for people who read them
//! - `writers`: what writes single rows, kept for the next call
//! - [`returned`]: one row that was written, as the answer
//! - [`attempts`]: tries of a transaction that may have to give way

mod assignment;
mod at_once;
pub mod attempts;
pub mod change;
mod children;
pub mod chunk;
pub mod commit;
pub mod delete;
mod locking;
mod queue;
mod references;
pub mod refusal;
pub mod request_id;
pub mod returned;
mod rows;
mod search;
pub mod session;
pub mod single;
pub(crate) mod sql;
pub mod start;
pub mod statement;
pub mod stored;
pub mod stream;
mod unique;
mod update_one;
pub(crate) mod writers;

pub use start::check_id;
