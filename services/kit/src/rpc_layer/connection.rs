//! A connection, as its calls see it.

use std::net::IpAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::activity::{Activity, OpenCall};
use super::admission::{Admission, ConnectionShare};
use super::unsent::Unsent;

/// The state that the calls of a connection share. In the extensions of each request. Cheap to clone.
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
    /// A connection that is opened now. `owner` is the address of the client.
    pub(crate) fn new(admission: &Admission, owner: Option<IpAddr>) -> Self {
        Self(Arc::new(Shared {
            share: admission.connection(),
            unsent: Arc::default(),
            activity: Arc::new(Activity::new()),
            owner,
            has_to_go: CancellationToken::new(),
        }))
    }

    /// What the connection may hold.
    pub(crate) fn share(&self) -> &ConnectionShare {
        &self.0.share
    }

    /// Its answers that the client has not taken yet.
    pub(crate) fn unsent(&self) -> &Arc<Unsent> {
        &self.0.unsent
    }

    /// When it was opened, and its calls.
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.0.activity
    }

    /// The address of the client; `None` if the calls came over no network, as in a test.
    pub(crate) fn owner(&self) -> Option<IpAddr> {
        self.0.owner
    }

    /// Cancelled when the connection must be closed.
    pub(crate) fn has_to_go(&self) -> &CancellationToken {
        &self.0.has_to_go
    }

    /// Counts a call.
    pub(super) fn open_call(&self) -> OpenCall {
        self.0.activity.open_call()
    }
}
