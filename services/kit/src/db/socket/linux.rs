//! Finds sockets of this process that another library owns.
//!
//! Such a socket is known only by its file descriptor number, which means another file as soon as the owner closes it.
//! So the file is first sent through a pair of Unix sockets: the kernel gives us a descriptor of our own for it, and
//! its peer address shows whether it is the right one.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, getpeername, sendmsg};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt};

use super::Tuning;

/// The file descriptors of this process.
const FILES: &str = "/proc/self/fd";

/// Tunes every connection to this port at one of these addresses. If there is none, it tunes all connections to the
/// port: the host name may have resolved to other addresses before.
pub(super) fn tune(port: u16, addresses: &[IpAddr], tuning: Tuning) -> io::Result<()> {
    let mut connections = connections_to(port)?;
    if connections.iter().any(|(peer, _)| addresses.contains(peer)) {
        connections.retain(|(peer, _)| addresses.contains(peer));
    }
    connections.iter().try_for_each(|(_, socket)| apply(tuning, socket))
}

fn apply(tuning: Tuning, socket: &OwnedFd) -> io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    sockopt::set_tcp_keepidle(socket, tuning.keepalive)?;
    sockopt::set_tcp_keepintvl(socket, tuning.keepalive)?;
    sockopt::set_tcp_keepcnt(socket, tuning.probes())?;
    sockopt::set_tcp_user_timeout(socket, tuning.user_timeout.as_millis() as u32)?;
    sockopt::set_socket_keepalive(socket, true)?;
    Ok(())
}

/// The sockets of this process whose peer has this port, with the peer's address.
fn connections_to(port: u16) -> io::Result<Vec<(IpAddr, OwnedFd)>> {
    let (sender, receiver) = UnixDatagram::pair()?;
    let mut connections = Vec::new();
    for file in std::fs::read_dir(FILES)? {
        let name = file?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse::<RawFd>().ok()) else { continue };
        // Check before sending, so that few are sent.
        if peer(number).is_none_or(|peer| peer.port() != port) {
            continue;
        }
        let Some(socket) = duplicate(&sender, &receiver, number)? else { continue };
        if let Some(peer) = peer(socket.as_raw_fd()).filter(|peer| peer.port() == port) {
            connections.push((peer.ip().to_canonical(), socket));
        }
    }
    Ok(connections)
}

/// The peer of this file descriptor, if it is a TCP connection.
fn peer(number: RawFd) -> Option<SocketAddr> {
    let address = getpeername::<SockaddrStorage>(number).ok()?;
    let v4 = address.as_sockaddr_in().map(|&address| SocketAddr::V4(address.into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|&address| SocketAddr::V6(address.into())))
}

/// Duplicates a file descriptor; `None` if it is closed by now (unix(7), SCM_RIGHTS).
fn duplicate(sender: &UnixDatagram, receiver: &UnixDatagram, number: RawFd) -> io::Result<Option<OwnedFd>> {
    let message = ControlMessage::ScmRights(&[number]);
    match sendmsg::<()>(sender.as_raw_fd(), &[IoSlice::new(&[0])], &[message], MsgFlags::empty(), None) {
        Ok(_) => {}
        Err(nix::Error::EBADF) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(receiver, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let file = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    Ok(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::time::Duration;

    use super::super::Endpoint;
    use super::*;

    const TUNING: Tuning = Tuning { keepalive: Duration::from_secs(7), user_timeout: Duration::from_secs(20) };

    fn is_tuned(socket: &TcpStream) -> bool {
        let set = (
            sockopt::tcp_nodelay(socket).unwrap(),
            sockopt::socket_keepalive(socket).unwrap(),
            sockopt::tcp_keepidle(socket).unwrap(),
            sockopt::tcp_keepintvl(socket).unwrap(),
            sockopt::tcp_keepcnt(socket).unwrap(),
            sockopt::tcp_user_timeout(socket).unwrap(),
        );
        set == (true, true, TUNING.keepalive, TUNING.keepalive, 3, 20_000)
    }

    #[tokio::test]
    async fn connections_to_the_database_are_tuned_and_no_others() {
        let databases: Vec<TcpListener> =
            (0..2).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let address = databases[0].local_addr().unwrap();
        let connections: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        let other = TcpStream::connect(databases[1].local_addr().unwrap()).unwrap();
        // Another machine with the same port number.
        let elsewhere = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), address.port())).unwrap();
        let elsewhere = TcpStream::connect(elsewhere.local_addr().unwrap()).unwrap();
        assert!(!connections.iter().any(is_tuned));
        Endpoint { host: "localhost".into(), port: address.port() }.tune(TUNING).await;
        assert!(connections.iter().all(is_tuned));
        assert!(!is_tuned(&other) && !is_tuned(&elsewhere));
        // The name of the other machine does not resolve.
        Endpoint { host: "no-such-host.invalid".into(), port: address.port() }.tune(TUNING).await;
        assert!(is_tuned(&elsewhere) && !is_tuned(&other));
    }

    #[test]
    fn a_number_that_means_nothing_is_passed_over() {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        assert!(duplicate(&sender, &receiver, RawFd::MAX).unwrap().is_none());
        assert!(peer(RawFd::MAX).is_none() && peer(sender.as_raw_fd()).is_none());
    }

    #[test]
    fn every_file_is_closed_again() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mut accepted, _) = listener.accept().unwrap();
        assert_eq!(connections_to(port).unwrap().len(), 1);
        drop(connection);
        // The connection ends: nobody holds it open.
        accepted.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(io::Read::read(&mut accepted, &mut [0]).unwrap(), 0);
    }
}
