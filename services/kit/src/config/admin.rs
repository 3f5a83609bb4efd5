//! Where a process can be looked at.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;

/// The admin port's distance from the service's own, where nothing else was said.
const BESIDE: u16 = 10;

/// Where metrics and probes are served.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Admin")]
pub struct AdminConfig {
    /// Address and port of metrics and probes over HTTP: /metrics, /livez, /readyz. `auto` is loopback, 10 above the port of --listen; `off` turns
    /// them off.
    ///
    /// Port 0 takes a free one, and so does `auto` if --listen does; the log says which. Set it where a scraper or a scheduler on another machine
    /// asks, 0.0.0.0:50061 in a container. That is allowed without --insecure: what is served are counts and names of methods, never rows, and
    /// nothing can be changed there; but how busy you are may be a secret too.
    #[arg(long, value_name = "ADDRESS", env = "ORRERY_ADMIN_LISTEN", default_value = "auto")]
    pub admin_listen: AdminListen,
}

/// Where to listen for scrapes and probes.
#[derive(Clone, Debug)]
pub enum AdminListen {
    /// On loopback, 10 above the service's own port.
    Auto,
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
    /// Who starts the service listens already; so it knows the port that it got.
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
                Err(_) => Err("write an address with a port, 127.0.0.1:50061, or auto, or off".to_owned()),
            },
        }
    }
}

impl AdminListen {
    /// The address to listen on for a service that was told to listen on `service`; `None` where there is none to take.
    pub fn address(&self, service: SocketAddr) -> Option<SocketAddr> {
        match self {
            Self::Off | Self::On(_) => None,
            Self::At(address) => Some(*address),
            Self::Auto => Some(Self::beside(service)),
        }
    }

    /// What `auto` means for a service that was told to listen on `service`.
    pub fn beside(service: SocketAddr) -> SocketAddr {
        let port = match service.port() {
            0 => 0,
            port => port.checked_add(BESIDE).unwrap_or(0),
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
