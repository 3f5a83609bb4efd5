//! The sockets of database connections. sqlx opens them with the kernel's defaults and offers no hook: a lost peer is
//! noticed after two hours, and small packets wait for others. This module finds the sockets and sets their options. On
//! systems other than Linux they keep the defaults.

#[cfg(target_os = "linux")]
mod linux;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use crate::config::DatabaseConfig;

/// When a connection with a silent peer is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tuning {
    /// Idle time before a probe, and the time between two.
    keepalive: Duration,
    /// How long data may stay unacknowledged.
    user_timeout: Duration,
}

impl Tuning {
    pub(super) fn of(config: &DatabaseConfig) -> Self {
        Self { keepalive: config.database_keepalive, user_timeout: config.database_tcp_user_timeout }
    }

    /// The number of unanswered probes. Linux uses the user timeout instead (RFC 5482; tcp(7), TCP_USER_TIMEOUT); other
    /// systems count.
    fn probes(self) -> u32 {
        self.user_timeout.as_secs().div_ceil(self.keepalive.as_secs().max(1)).clamp(1, 127) as u32
    }

    /// The same limits as session settings, for the server's end of the connection (manual, 20.3.2).
    pub(super) fn of_server(self) -> [(&'static str, String); 4] {
        let seconds = self.keepalive.as_secs().to_string();
        [
            ("tcp_keepalives_idle", seconds.clone()),
            ("tcp_keepalives_interval", seconds),
            ("tcp_keepalives_count", self.probes().to_string()),
            ("tcp_user_timeout", self.user_timeout.as_millis().to_string()),
        ]
    }
}

/// The address of the database.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    host: Arc<str>,
    port: u16,
}

impl Endpoint {
    pub(super) fn of(options: &PgConnectOptions) -> Self {
        Self { host: options.get_host().into(), port: options.get_port() }
    }

    /// Tunes every connection of this process to the database; it does no harm to those that were tuned before. If the
    /// database is reached without TCP there are none.
    pub(super) async fn tune(&self, tuning: Tuning) {
        let addresses: Vec<IpAddr> = match tokio::net::lookup_host((&*self.host, self.port)).await {
            Ok(addresses) => addresses.map(|address| address.ip().to_canonical()).collect(),
            Err(_) => Vec::new(),
        };
        #[cfg(target_os = "linux")]
        let tuned = linux::tune(self.port, &addresses, tuning);
        #[cfg(not(target_os = "linux"))]
        let tuned = {
            let _ = (addresses, tuning);
            std::io::Result::Ok(())
        };
        if let Err(error) = tuned {
            tracing::warn!(%error, "cannot set the options of a database connection; a lost server is noticed late");
        }
    }
}
