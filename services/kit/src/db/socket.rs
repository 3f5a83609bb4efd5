//! The sockets of the connections to the database. sqlx opens them as the kernel makes them, without a hook: a peer that vanished is
//! noticed after two hours, and small packets wait for others. Here they are found again, and told to look after themselves. On
//! systems other than Linux they stay as they are.

#[cfg(target_os = "linux")]
mod linux;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use crate::config::DatabaseConfig;

/// When a connection whose other end is silent is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tuning {
    /// Quiet time before a probe, and between two.
    keepalive: Duration,
    /// How long anything may stay unacknowledged.
    user_timeout: Duration,
}

impl Tuning {
    pub(super) fn of(config: &DatabaseConfig) -> Self {
        Self { keepalive: config.database_keepalive, user_timeout: config.database_tcp_user_timeout }
    }

    /// How many probes go unanswered. Linux looks at the time instead (RFC 5482; tcp(7), TCP_USER_TIMEOUT); others count.
    fn probes(self) -> u32 {
        self.user_timeout.as_secs().div_ceil(self.keepalive.as_secs().max(1)).clamp(1, 127) as u32
    }

    /// The same as settings of a session, for the server's end of the connection (manual, 20.3.2).
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

/// Where the database is.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    host: Arc<str>,
    port: u16,
}

impl Endpoint {
    pub(super) fn of(options: &PgConnectOptions) -> Self {
        Self { host: options.get_host().into(), port: options.get_port() }
    }

    /// Tunes every connection of this process to the database; those that were tuned before stay what they are. There are none
    /// where the database is reached without TCP.
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
            tracing::warn!(%error, "a connection to the database keeps the kernel's defaults; a silent server is noticed late");
        }
    }
}
