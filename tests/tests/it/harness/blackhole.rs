//! An address of this machine from which nothing comes back: packets to it vanish, as behind a network that has failed, and nobody is told.

use orrery_tests_needs::{self as needs, Need};
use std::net::Ipv4Addr;

/// What a test with such an address needs: only root can make packets vanish.
pub(crate) const NEEDS: [Need; 2] = [Need::Root, Need::Ip];

/// An address, for one test alone. Dropping it lets packets through again.
pub(crate) struct Blackhole {
    address: Ipv4Addr,
    swallows: bool,
}

impl Blackhole {
    /// An address to which packets still come.
    pub(crate) fn new() -> Self {
        let [a, b, c, _] = rand::random::<[u8; 4]>();
        // All of 127.0.0.0/8 is this machine; nobody else uses this part.
        Self { address: Ipv4Addr::new(127, 64 + a % 128, b, 1 + c % 254), swallows: false }
    }

    /// The address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// From now on packets to it vanish.
    pub(crate) fn swallow(&mut self) {
        self.route("add");
        self.swallows = true;
    }

    /// From now on they come through again.
    pub(crate) fn give_back(&mut self) {
        self.route("del");
        self.swallows = false;
    }

    /// A route that leads nowhere, in the table that is asked first: it is closer than the one of all of loopback.
    fn route(&self, change: &str) {
        let address = format!("{}/32", self.address);
        let arguments = ["route", change, "blackhole", &address, "table", "local"];
        let output = needs::program(Need::Ip).command().args(arguments).output().unwrap();
        assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Blackhole {
    fn drop(&mut self) {
        if self.swallows {
            self.give_back();
        }
    }
}
