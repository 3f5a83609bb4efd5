//! A service in a separate process.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use orrery::serve::Slice;
use tonic::transport::{Channel, Endpoint};

/// The program of the catalog slice.
pub(crate) const CATALOG: &str = orrery_catalog::BINARY.name;
/// The program of the orders slice.
pub(crate) const ORDERS: &str = orrery_orders::BINARY.name;
/// The program of the records slice.
pub(crate) const RECORDS: &str = orrery_records::BINARY.name;

/// Runs the service with the name of this program; `None` if it has another name.
pub(crate) async fn run_as_service() -> Option<anyhow::Result<()>> {
    let slice = Slice::of_program(&std::env::args_os().next()?)?;
    Some(slice.serve(std::env::args_os().collect()).await)
}

/// A running service. Dropping this stops it.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    channel: Channel,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts a service with these flags: this program under another name, so that it is built once, with the profile
    /// of the benchmark.
    pub(crate) async fn start(program: &str, database_url: &str, flags: &[&str]) -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(std::env::current_exe()?)
            .arg0(program)
            .args(["--listen", &address.to_string(), "--admin-listen", "127.0.0.1:0"])
            .args(flags)
            .env("DATABASE_URL", database_url)
            .stdout(Stdio::inherit())
            .spawn()?;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .tcp_nodelay(true)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20);
        for _ in 0..200 {
            if let Ok(channel) = endpoint.connect().await {
                return Ok(Self { child, address, channel });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("{program} does not answer")
    }

    /// A connection to the service.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The address of the service.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The peak memory of the process in bytes, since its start or the last [`Process::forget_peak`].
    pub(crate) fn peak_memory(&self) -> anyhow::Result<usize> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
        let kib: usize = line.split_whitespace().nth(1).context("no VmHWM")?.parse()?;
        Ok(kib << 10)
    }

    /// Restarts the measurement of the peak (proc(5), `clear_refs`).
    pub(crate) fn forget_peak(&self) -> anyhow::Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }
}
