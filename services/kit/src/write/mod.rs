//! Writes rows in chunks or one by one, in the same way for every resource.
//!
//! - [`statement`]: writes a batch; every write goes through it
//! - `rows`, `children`, `assignment`: its SQL for the rows of a table, for children, and for one column
//! - `child_pages`: stored children, page by page
//! - [`chunk`]: a chunk's rows, decoded, checked and hashed
//! - `mentions`: what a chunk says about owners whose rows it replaces
//! - `owner_locks`: locks owners whose rows are replaced
//! - `replace`: deletes the rows of owners that a chunk does not hold
//! - [`session`]: the ledger of writes with a write_id: their offsets and the hashes of their commits
//! - `references`: whether the targets of references exist
//! - [`commit`]: chunks and ledger in one transaction
//! - `new_rows`: whether the next rows are likely to be new
//! - `search`: finds the rows of a commit that the database refuses
//! - [`refusal`]: the refusals of rows, counted and limited
//! - [`start`]: the settings of a stream, and the grammar of write ids
//! - [`queue`]: rows that were received and are not committed yet
//! - [`stream`]: the protocol of `WriteX`
//! - [`direct`]: rows that a method of a slice makes itself
//! - [`single`] and [`delete`]: writes of one row
//! - [`request_id`]: the ledger of calls with a request_id, which recognises retries
//! - [`change`]: a change of one stored row that the slice defines
//! - [`stored`]: stored rows and their preconditions
//! - `unique`: columns that are unique besides the key
//! - `at_once`: creates one row in one statement
//! - `update_one`: updates one row in one statement
//! - `sql`: the statements, for people who read them
//! - `writers`: the writers of single rows, kept for the next call
//! - [`returned`]: a written row as the answer

mod assignment;
mod at_once;
pub mod change;
mod child_pages;
mod children;
pub mod chunk;
pub mod commit;
pub mod delete;
pub mod direct;
mod locking;
mod mentions;
mod new_rows;
mod owner_locks;
mod queue;
mod references;
pub mod refusal;
mod replace;
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
