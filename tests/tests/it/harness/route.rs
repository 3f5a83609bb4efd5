//! The way from a service to its database. `ORRERY_TEST_ROUTE` names the one that the suite takes.

use std::sync::Arc;

use super::wire::Proxy;
use super::{Pooler, Postgres, Role};

/// Which way the roles of the services take. The operator's is always direct: seeds and looks at plans are no service's work.
///
/// A further route plugs in here: a variant, its name in [`Route::from_environment`], and an arm in [`Route::open`] that starts what
/// stands in between and returns a [`Way`] with its port on 127.0.0.1 and what must be kept alive. Nothing else of the harness knows
/// of routes: services, processes and tests ask [`TestDatabase::url`](super::TestDatabase::url) and
/// [`TestDatabase::pooler_mode`](super::TestDatabase::pooler_mode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Through a proxy that holds the limits of a managed Postgres against every session. A test whose services pass one fails.
    Limits,
    /// Through PgBouncer, which gives all services together two sessions for each role, for one transaction at a time.
    Pooler,
    /// Straight to the server.
    Direct,
}

impl Route {
    /// What `ORRERY_TEST_ROUTE` says: `limits`, the default, `pooler` or `direct`.
    pub(crate) fn from_environment() -> Self {
        match std::env::var("ORRERY_TEST_ROUTE").as_deref() {
            Err(_) | Ok("limits") => Self::Limits,
            Ok("pooler") => Self::Pooler,
            Ok("direct") => Self::Direct,
            Ok(other) => unreachable!("ORRERY_TEST_ROUTE is limits, pooler or direct, not {other:?}"),
        }
    }

    /// A way for one database of a server.
    pub(crate) async fn open(self, postgres: &Postgres) -> Way {
        match self {
            Self::Limits => Way::Limited(Proxy::start(Arc::clone(postgres.port_now()))),
            Self::Pooler => Way::Pooled(postgres.pooler().await),
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
    /// A pooler, which all databases of the server have in common.
    Pooled(Arc<Pooler>),
}

impl Way {
    /// The URL of a database by this way, where `direct` is the server's own.
    pub(crate) fn url(&self, role: Role, direct: String) -> String {
        match self {
            Self::Limited(proxy) if role != Role::Operator => with_port(&direct, proxy.port()),
            Self::Pooled(pooler) if role != Role::Operator => with_port(&direct, pooler.port()),
            Self::Limited(_) | Self::Pooled(_) | Self::Direct => direct,
        }
    }

    /// The proxy that holds the limits, if this way has one.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        match self {
            Self::Limited(proxy) => Some(proxy),
            Self::Pooled(_) | Self::Direct => None,
        }
    }

    /// The pooler, if this way has one.
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
