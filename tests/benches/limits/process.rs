//! A service as a process of its own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tonic::transport::{Channel, Endpoint};

/// A running service. Ends with this value.
pub(crate) struct Process {
    child: Child,
    endpoint: Endpoint,
    channel: Channel,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Builds a program as this one was built, and starts it with these flags.
    pub(crate) async fn start(program: &str, database_url: &str, flags: &[&str]) -> anyhow::Result<Self> {
        let folder = std::env::current_exe()?.ancestors().nth(2).context("no target folder")?.to_owned();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let built = Command::new(std::env::var_os("CARGO").context("run me by cargo bench")?)
            .args(["build", "--quiet", "--release", "--package", program, "--target-dir"])
            .arg(folder.parent().context("no target folder")?)
            .current_dir(root)
            .status()?;
        anyhow::ensure!(built.success(), "{program} does not build");
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(folder.join(program))
            .args(["--listen", &address.to_string(), "--admin-listen", "127.0.0.1:0", "--log", "warn"])
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
                return Ok(Self { child, endpoint, channel });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("{program} does not answer")
    }

    /// A connection to it.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A connection of one's own.
    pub(crate) async fn connect(&self) -> anyhow::Result<Channel> {
        Ok(self.endpoint.connect().await?)
    }

    /// The most memory that the process has held since it began, or since [`Process::forget_peak`], in bytes.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<usize> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
        let kib: usize = line.split_whitespace().nth(1).context("no VmHWM")?.parse()?;
        Ok(kib << 10)
    }

    /// Measures the peak from what the process holds now (proc(5), `clear_refs`).
    pub(crate) fn forget_peak(&self) -> anyhow::Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }
}
