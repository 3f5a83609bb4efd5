//! The settings of the admin port.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;

/// The default admin port is this much above the service's own port.
const PORT_OFFSET: u16 = 10;

/// The admin port: metrics and probes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Admin")]
pub struct AdminConfig {
    /// Address and port of metrics and probes over HTTP: /metrics, /livez, /readyz. `auto` is loopback, 10 above the
    /// port of --listen; `off` disables them.
    ///
    /// Port 0 selects a free port, and so does `auto` if --listen has port 0; the log names the port. Set an address if
    /// a scraper or scheduler on another machine needs it, for example 0.0.0.0:50061 in a container. This does not need
    /// --insecure: the port serves counts and method names, never rows, and changes nothing. But your traffic figures
    /// may be confidential, too.
    #[arg(long, value_name = "ADDRESS", env = "ORRERY_ADMIN_LISTEN", default_value = "auto")]
    pub admin_listen: AdminListen,
}

/// Where the admin port listens.
#[derive(Clone, Debug)]
pub enum AdminListen {
    /// On loopback, 10 above the service's own port.
    Auto,
    /// Disabled.
    Off,
    /// At this address.
    At(SocketAddr),
    /// On a socket that is open already, so that the starter of the service knows its port.
    On(Arc<std::net::TcpListener>),
}

impl FromStr for AdminListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            address => match address.parse() {
                Ok(address) => Ok(Self::At(address)),
                Err(_) => Err("use an address with a port such as 127.0.0.1:50061, or auto, or off".to_owned()),
            },
        }
    }
}

impl AdminListen {
    /// The address to open for a service that listens on `service`; `None` if there is none to open.
    pub fn address(&self, service: SocketAddr) -> Option<SocketAddr> {
        match self {
            Self::Off | Self::On(_) => None,
            Self::At(address) => Some(*address),
            Self::Auto => Some(Self::auto_address(service)),
        }
    }

    /// The meaning of `auto` for a service that listens on `service`.
    pub fn auto_address(service: SocketAddr) -> SocketAddr {
        let port = match service.port() {
            0 => 0,
            port => port.checked_add(PORT_OFFSET).unwrap_or(0),
        };
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn auto_is_beside_the_service_and_on_loopback() {
        let at = |admin: &str, service: &str| {
            let listen = AdminListen::from_str(admin).unwrap();
            listen.address(service.parse().unwrap()).map(|address| address.to_string())
        };
        assert_eq!(at("auto", "0.0.0.0:50051").as_deref(), Some("127.0.0.1:50061"));
        assert_eq!(at("auto", "[::1]:0").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(at("auto", "127.0.0.1:65530").as_deref(), Some("127.0.0.1:0"));
        assert_eq!(at("0.0.0.0:9090", "127.0.0.1:1").as_deref(), Some("0.0.0.0:9090"));
        assert_eq!(at("off", "127.0.0.1:1"), None);
        assert!(AdminListen::from_str("9090").unwrap_err().contains("127.0.0.1:50061"));
    }
}
