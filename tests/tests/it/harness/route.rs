//! How services reach their database. `ORRERY_TEST_ROUTE` selects the route of the suite.

use std::sync::Arc;

use super::wire::Proxy;
use super::{Pooler, Postgres, Role};

/// The route of the services' roles. The operator always connects directly, because seeding data and reading plans is
/// not a service's work.
///
/// To add a route: add a variant, its name in [`Route::from_environment`], and an arm in [`Route::open`] that starts
/// what is in between and returns its port on 127.0.0.1 and what must be kept alive. The rest of the harness only uses
/// [`TestDatabase::url`](super::TestDatabase::url) and [`TestDatabase::pooler_mode`](super::TestDatabase::pooler_mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Through a proxy that enforces the limits of a managed Postgres on each session. A test fails if its services
    /// exceed one.
    Limits,
    /// Through PgBouncer, with two sessions per role for all services, each for one transaction at a time.
    Pooler,
    /// Directly to the server.
    Direct,
}

impl Route {
    /// The value of `ORRERY_TEST_ROUTE`: `limits` (the default), `pooler` or `direct`.
    pub(crate) fn from_environment() -> Self {
        match std::env::var("ORRERY_TEST_ROUTE").as_deref() {
            Err(_) | Ok("limits") => Self::Limits,
            Ok("pooler") => Self::Pooler,
            Ok("direct") => Self::Direct,
            Ok(other) => unreachable!("ORRERY_TEST_ROUTE is limits, pooler or direct, not {other:?}"),
        }
    }

    /// Opens the route to a database of a server.
    pub(crate) async fn open(self, postgres: &Postgres) -> OpenRoute {
        match self {
            Self::Limits => OpenRoute::Limited(Proxy::start(Arc::clone(postgres.port_now()))),
            Self::Pooler => OpenRoute::Pooled(postgres.pooler().await),
            Self::Direct => OpenRoute::Direct,
        }
    }
}

/// An open route. Dropping it closes it.
pub(crate) enum OpenRoute {
    /// A direct connection.
    Direct,
    /// A proxy that enforces limits.
    Limited(Proxy),
    /// A pooler, shared by all databases of the server.
    Pooled(Arc<Pooler>),
}

impl OpenRoute {
    /// The URL of a database over this route; `direct` is the server's own.
    pub(crate) fn url(&self, role: Role, direct: String) -> String {
        match self {
            Self::Limited(proxy) if role != Role::Operator => with_port(&direct, proxy.port()),
            Self::Pooled(pooler) if role != Role::Operator => with_port(&direct, pooler.port()),
            Self::Limited(_) | Self::Pooled(_) | Self::Direct => direct,
        }
    }

    /// The proxy that enforces the limits, if the route has one.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        match self {
            Self::Limited(proxy) => Some(proxy),
            Self::Pooled(_) | Self::Direct => None,
        }
    }

    /// The pooler, if the route has one.
    pub(crate) fn pooler(&self) -> Option<&Pooler> {
        match self {
            Self::Pooled(pooler) => Some(pooler),
            Self::Limited(_) | Self::Direct => None,
        }
    }
}

/// The URL with another port.
pub(super) fn with_port(url: &str, port: u16) -> String {
    let (before, rest) = url.rsplit_once("@127.0.0.1:").unwrap();
    let (_, database) = rest.split_once('/').unwrap();
    format!("{before}@127.0.0.1:{port}/{database}")
}
