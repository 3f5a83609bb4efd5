//! The way from a service to its database. `ORRERY_TEST_ROUTE` names the one that the suite takes.

use std::sync::Arc;
use std::sync::atomic::AtomicU16;

use super::Role;
use super::wire::Proxy;

/// Which way the roles of the services take. The operator's is always direct: seeds and looks at plans are no service's work.
///
/// A further route plugs in here: a variant, its name in [`Route::from_environment`], and an arm in [`Route::open`] that starts what
/// stands in between and returns a [`Way`] with its port on 127.0.0.1 and what must be kept alive. Nothing else of the harness knows
/// of routes: services, processes and tests ask [`TestDatabase::url`](super::TestDatabase::url).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Through a proxy that holds the limits of a managed Postgres against every session. A test whose services pass one fails.
    Limits,
    /// Straight to the server.
    Direct,
}

impl Route {
    /// What `ORRERY_TEST_ROUTE` says: `limits`, the default, or `direct`.
    pub(crate) fn from_environment() -> Self {
        match std::env::var("ORRERY_TEST_ROUTE").as_deref() {
            Err(_) | Ok("limits") => Self::Limits,
            Ok("direct") => Self::Direct,
            Ok(other) => unreachable!("ORRERY_TEST_ROUTE is limits or direct, not {other:?}"),
        }
    }

    /// A way of its own for one database, to a server on a port of 127.0.0.1 that may change.
    pub(crate) fn open(self, server: &Arc<AtomicU16>) -> Way {
        match self {
            Self::Limits => Way::Limited(Proxy::start(Arc::clone(server))),
            Self::Direct => Way::Direct,
        }
    }
}

/// An open way. Dropping it closes it.
pub(crate) enum Way {
    /// None but the server's own.
    Direct,
    /// A proxy that holds limits against what passes.
    Limited(Proxy),
}

impl Way {
    /// The URL of a database by this way, where `direct` is the server's own.
    pub(crate) fn url(&self, role: Role, direct: String) -> String {
        match self {
            Self::Limited(proxy) if role != Role::Operator => with_port(&direct, proxy.port()),
            Self::Limited(_) | Self::Direct => direct,
        }
    }

    /// The proxy that holds the limits, if this way has one.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        match self {
            Self::Limited(proxy) => Some(proxy),
            Self::Direct => None,
        }
    }
}

/// The URL with another port.
fn with_port(url: &str, port: u16) -> String {
    let (before, rest) = url.rsplit_once("@127.0.0.1:").unwrap();
    let (_, database) = rest.split_once('/').unwrap();
    format!("{before}@127.0.0.1:{port}/{database}")
}
