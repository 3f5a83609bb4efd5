//! A connection, as its calls know it.

use std::net::IpAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::activity::{Activity, OpenCall};
use super::admission::{Admission, ConnectionShare};
use super::unsent::Unsent;

/// What the calls of a connection have in common. In the extensions of each. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Connection(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    share: ConnectionShare,
    unsent: Arc<Unsent>,
    activity: Arc<Activity>,
    owner: Option<IpAddr>,
    has_to_go: CancellationToken,
}

impl Connection {
    /// One that was opened now, by whoever has an address.
    pub(crate) fn new(admission: &Admission, owner: Option<IpAddr>) -> Self {
        Self(Arc::new(Shared {
            share: admission.connection(),
            unsent: Arc::default(),
            activity: Arc::new(Activity::new()),
            owner,
            has_to_go: CancellationToken::new(),
        }))
    }

    /// What it may hold.
    pub(crate) fn share(&self) -> &ConnectionShare {
        &self.0.share
    }

    /// Its answers that were not taken yet.
    pub(crate) fn unsent(&self) -> &Arc<Unsent> {
        &self.0.unsent
    }

    /// What it has to do.
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.0.activity
    }

    /// Whose it is; nobody's if its calls came by no network, as in a test.
    pub(crate) fn owner(&self) -> Option<IpAddr> {
        self.0.owner
    }

    /// Cancelled when it has to be closed.
    pub(crate) fn has_to_go(&self) -> &CancellationToken {
        &self.0.has_to_go
    }

    /// Counts a call.
    pub(super) fn open_call(&self) -> OpenCall {
        self.0.activity.open_call()
    }
}
