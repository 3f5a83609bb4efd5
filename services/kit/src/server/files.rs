//! The files that a process may have open. Connections take one each, and so does what a service cannot do without.

use anyhow::ensure;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::ServiceConfig;

/// Connections of the admin port.
const ADMIN: usize = 64;
/// Standard streams, listeners, the runtime, lookups of names, connections to other services.
const OTHER: usize = 32;
/// A service for fewer callers is none.
const LEAST_CONNECTIONS: usize = 16;
/// What is enough for a process of which nobody said how many connections it is to take.
const ENOUGH_CONNECTIONS: usize = 4096;

/// How many files this process may have open. Raised as far as that is allowed without asking.
fn limit() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return usize::MAX };
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    usize::try_from(if raised { hard } else { soft }).unwrap_or(usize::MAX)
}

/// What is kept for the database and the admin port.
fn reserve(config: &ServiceConfig) -> usize {
    let pools = if config.replica.database_replica_url.is_some() { 2 } else { 1 };
    let database = (config.database.database_pool_max as usize).saturating_mul(pools);
    database.saturating_add(ADMIN + OTHER)
}

/// How many connections each of `services` in this process may take, of which `config` is one.
///
/// # Errors
/// So few files may be open that no service can run.
pub fn connections(config: &ServiceConfig, services: usize) -> anyhow::Result<usize> {
    within(limit(), reserve(config), config.server.max_connections, services)
}

fn within(limit: usize, reserve: usize, wanted: Option<usize>, services: usize) -> anyhow::Result<usize> {
    let each = limit / services.max(1);
    let left = each.saturating_sub(reserve);
    ensure!(
        left >= LEAST_CONNECTIONS,
        "this process may have {limit} files open; it needs {} to serve {services} at least, {reserve} of them for each \
         service's database and admin port: raise the limit (ulimit -n, LimitNOFILE) or lower --database-pool-max",
        (reserve + LEAST_CONNECTIONS) * services.max(1),
    );
    Ok(wanted.unwrap_or(ENOUGH_CONNECTIONS).min(left))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn connections_leave_room_for_what_is_needed() {
        assert_eq!(within(200, 112, None, 1).unwrap(), 88);
        assert_eq!(within(200, 112, Some(1_000), 1).unwrap(), 88);
        assert_eq!(within(200, 112, Some(20), 1).unwrap(), 20);
        assert_eq!(within(1 << 20, 112, None, 3).unwrap(), ENOUGH_CONNECTIONS);
        assert_eq!(within(1 << 20, 112, Some(50_000), 3).unwrap(), 50_000);
        assert_eq!(within(usize::MAX, 112, None, 1).unwrap(), ENOUGH_CONNECTIONS);
        let refused = within(120, 112, None, 1).unwrap_err().to_string();
        assert!(refused.contains("120 files") && refused.contains("it needs 128"), "{refused}");
        within(300, 112, None, 3).unwrap_err();
    }
}
