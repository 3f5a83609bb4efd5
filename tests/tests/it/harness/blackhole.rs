//! A local address whose packets can be dropped silently, as in a failed network.

use orrery_tests_needs::{self as needs, Need};
use std::net::Ipv4Addr;

/// The requirements of a test with such an address: only root can drop packets.
pub(crate) const NEEDS: [Need; 2] = [Need::Root, Need::Ip];

/// An address for one test. Dropping it restores the route.
pub(crate) struct Blackhole {
    address: Ipv4Addr,
    dropping: bool,
}

impl Blackhole {
    /// An address whose packets still arrive.
    pub(crate) fn new() -> Self {
        let [a, b, c, _] = rand::random::<[u8; 4]>();
        // All of 127.0.0.0/8 is this machine; nothing else uses this part.
        Self { address: Ipv4Addr::new(127, 64 + a % 128, b, 1 + c % 254), dropping: false }
    }

    /// The address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Packets to the address are dropped from now on.
    pub(crate) fn drop_packets(&mut self) {
        self.route("add");
        self.dropping = true;
    }

    /// Packets to the address arrive again.
    pub(crate) fn restore(&mut self) {
        self.route("del");
        self.dropping = false;
    }

    /// A route to nowhere that is more specific than the one of loopback.
    fn route(&self, change: &str) {
        let address = format!("{}/32", self.address);
        let arguments = ["route", change, "blackhole", &address, "table", "local"];
        let output = needs::program(Need::Ip).command().args(arguments).output().unwrap();
        assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Blackhole {
    fn drop(&mut self) {
        if self.dropping {
            self.restore();
        }
    }
}
