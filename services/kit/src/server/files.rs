//! The limit on open files. Each connection takes a file descriptor, and so do the database and the admin port.

use anyhow::ensure;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::ServiceConfig;

/// For connections of the admin port.
const ADMIN: usize = 64;
/// For standard streams, listeners, the runtime, name lookups, and connections to other services.
const OTHER: usize = 32;
/// The least number of connections: with fewer, a service is of no use.
const LEAST_CONNECTIONS: usize = 16;
/// The number of connections where none is configured.
const ENOUGH_CONNECTIONS: usize = 4096;

/// The limit on open files of this process, raised as far as the process may raise it itself.
fn limit() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return usize::MAX };
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    usize::try_from(if raised { hard } else { soft }).unwrap_or(usize::MAX)
}

/// The files that are reserved for the database and the admin port.
fn reserve(config: &ServiceConfig) -> usize {
    let pools = if config.replica.database_replica_url.is_some() { 2 } else { 1 };
    let database = (config.database.database_pool_max as usize).saturating_mul(pools);
    database.saturating_add(ADMIN + OTHER)
}

/// The number of connections for each of the `services` in this process, one of which has `config`.
///
/// # Errors
/// The limit on open files is too low for any service.
pub fn connections(config: &ServiceConfig, services: usize) -> anyhow::Result<usize> {
    within(limit(), reserve(config), config.server.max_connections, services)
}

fn within(limit: usize, reserve: usize, wanted: Option<usize>, services: usize) -> anyhow::Result<usize> {
    let each = limit / services.max(1);
    let left = each.saturating_sub(reserve);
    ensure!(
        left >= LEAST_CONNECTIONS,
        "this process may have {limit} files open; to serve {services} it needs at least {}, {reserve} of them for \
         each service's database and admin port: raise the limit (ulimit -n, LimitNOFILE) or lower --database-pool-max",
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
        assert!(refused.contains("120 files") && refused.contains("at least 128"), "{refused}");
        within(300, 112, None, 3).unwrap_err();
    }
}
