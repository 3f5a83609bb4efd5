//! Watches the Postgres protocol: a [`Proxy`] between a service and its server counts rows and bytes, and closes the
//! connection with an error where a managed Postgres would. It shares no code with the services.
//!
//! - `frames`: message boundaries in both directions (manual, 55.7 "Message Formats").
//! - `messages`: parsing of messages, and error messages.
//! - `copy`: counts rows of `COPY ... FROM STDIN`.
//! - `within`: statements that write within others.
//! - `session`: the state of a connection, compared with the limits.
//! - `proxy`: sockets.
//!
//! The rows and bytes of a result are counted as they arrive; those of a portal that is read in pieces are added up.
//! The rows that a statement writes are taken from its completion tag (`UPDATE 250`), or counted for a `COPY`. A
//! data-modifying `WITH` has no such tag: the statement must return the number as its first column, named `written`, or
//! it is rejected. Writes of triggers and functions are not seen; the schema has none.

mod copy;
mod frames;
mod limits;
mod messages;
mod proxy;
mod session;
mod within;

pub(crate) use limits::{Limit, Violation, WireLimits};
pub(crate) use proxy::Proxy;
