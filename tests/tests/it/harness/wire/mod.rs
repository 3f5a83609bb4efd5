//! The wire of Postgres, watched: a [`Proxy`] between a service and its server counts what passes and breaks the connection, with an
//! error, where a managed Postgres would. It shares no code with the services: what it proves, it proves from outside.
//!
//! - `frames`: where one message ends and the next begins, in both directions (manual, 55.7 "Message Formats").
//! - `messages`: what is read out of messages, and the errors that are made.
//! - `copy`: rows of `COPY ... FROM STDIN`, counted as they are sent.
//! - `within`: statements that write within others.
//! - `session`: what one connection has done so far, held against the limits.
//! - `proxy`: sockets.
//!
//! What is counted, and what is not. The rows and bytes of a result are counted as they arrive, and those of a portal that is read in
//! pieces are added up. The rows that a statement writes are those of its completion tag (`UPDATE 250`), and of a `COPY` those that were
//! sent. What a data-modifying `WITH` writes stands in no tag: such a statement has to return the number, as a first column `written`, and
//! is refused if it does not. What triggers and functions write is not seen; the schema has none.

mod copy;
mod frames;
mod limits;
mod messages;
mod proxy;
mod session;
mod within;

pub(crate) use limits::{Limit, Violation, WireLimits};
pub(crate) use proxy::Proxy;
