//! nginx and HAProxy in front of two replicas, with the configuration files of `deploy/examples/`.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use orrery_tests_needs::{self as needs, Need};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

const TIMEOUT: Duration = Duration::from_secs(20);

/// The kind of proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyKind {
    Nginx,
    Haproxy,
}

impl ProxyKind {
    /// The requirement of a test with it.
    pub(crate) fn need(self) -> Need {
        match self {
            Self::Nginx => Need::Nginx,
            Self::Haproxy => Need::Haproxy,
        }
    }
}

/// A proxy as a process. Dropping it stops it, and prints its log if the test failed.
pub(crate) struct Proxy {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Proxy {
    /// Starts a proxy on a free port and waits until it listens.
    pub(crate) async fn start(kind: ProxyKind, replicas: [SocketAddr; 2]) -> Self {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
        let folder = tempfile::Builder::new().prefix("orrery-proxy-").tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let example = match kind {
            ProxyKind::Nginx => "nginx.conf",
            ProxyKind::Haproxy => "haproxy.cfg",
        };
        let mut config = std::fs::read_to_string(examples().join(example)).unwrap();
        for (example, here) in [
            ("0.0.0.0:50050", address.to_string()),
            ("10.0.0.11:50051", replicas[0].to_string()),
            ("10.0.0.12:50051", replicas[1].to_string()),
        ] {
            assert_eq!(config.matches(example).count(), 1, "{example} stands in the example once");
            config = config.replace(example, &here);
        }
        let mut command = needs::program(kind.need()).command();
        match kind {
            ProxyKind::Nginx => {
                // By default root owns the folder for nginx's temporary files.
                let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|name| format!("{name}_temp_path {};", at(name).display()));
                config = config.replacen("http {", &format!("http {{ {}", folders.concat()), 1);
                command.arg("-p").arg(folder.path()).arg("-c").arg(at(example)).arg("-g");
                command.arg(format!("daemon off; pid {};", at("pid").display()));
            }
            ProxyKind::Haproxy => {
                command.arg("-db").arg("-f").arg(at(example));
            }
        }
        std::fs::write(at(example), config).unwrap();
        let log = File::create(at("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut proxy = Self { child: command.spawn().unwrap(), address, folder };
        proxy.until_it_listens().await;
        proxy
    }

    /// The address of the proxy.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    async fn until_it_listens(&mut self) {
        let begun = Instant::now();
        while TcpStream::connect(self.address).await.is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < TIMEOUT, "the proxy does not start: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // SIGTERM, so that nginx also stops its workers.
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the proxy logged:\n{}", self.log());
        }
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples")
}
