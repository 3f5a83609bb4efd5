//! Where a service listens.

use std::net::SocketAddr;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::ConfigError;

/// Where to listen.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listening")]
pub struct ListenConfig {
    /// Address and port to listen on.
    ///
    /// Port 0 selects a free port. An address beyond loopback needs --insecure.
    #[arg(
        long = "listen",
        id = "listen",
        value_name = "ADDRESS",
        env = "ORRERY_LISTEN",
        default_value = "127.0.0.1:0"
    )]
    pub address: SocketAddr,

    /// Listen beyond loopback, although traffic is not encrypted and callers are not authenticated.
    ///
    /// This process has no TLS and no authentication: whoever reaches the port can read and write everything. Use this
    /// only if something in front of it (a service mesh, a private network) blocks unknown callers. Default: false.
    #[arg(long, env = "ORRERY_INSECURE", value_parser = BoolishValueParser::new())]
    pub insecure: bool,
}

impl ListenConfig {
    /// Refuses an address that other machines can reach, unless `insecure` is set.
    ///
    /// # Errors
    ///
    /// `address` is not loopback and [`insecure`](Self::insecure) is false.
    pub fn check(&self, address: SocketAddr) -> Result<(), ConfigError> {
        if self.insecure || address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(ConfigError::new(
            "listen",
            format!(
                "other machines can reach {address}, and this process has neither TLS nor authentication: whoever \
                 reaches it can read and write everything. Listen on 127.0.0.1, or set --insecure if the network \
                 in front of it blocks unknown callers"
            ),
        ))
    }
}
