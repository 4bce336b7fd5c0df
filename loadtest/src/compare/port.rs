//! Addresses for gateways that start some time after they were chosen.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// First of the ports given out, and how many there are. Linux gives ports from 32,768 up to
/// outgoing connections (`ip_local_port_range`), of which a load makes hundreds: a free one from
/// there may be taken by the time a gateway listens on it.
const PORT_FIRST: u16 = 20_000;
const PORTS: u16 = 12_000;
/// Ports tried.
const TRIES_MAX: u16 = 200;

/// An address of this machine that nobody listens on at this moment, another one each time.
///
/// # Errors
/// Where none of [`TRIES_MAX`] can be listened on; with what the last said.
pub(super) fn free() -> std::io::Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Comparisons side by side begin at different ports.
    let own = (std::process::id() % u32::from(PORTS)) as u16;
    let mut last = Err(std::io::ErrorKind::AddrInUse.into());
    for _ in 0..TRIES_MAX {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
        let port = PORT_FIRST + (own + step) % PORTS;
        last = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|free| free.local_addr());
        if last.is_ok() {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_below_those_of_outgoing_connections() {
        let (one, other) = (free().unwrap(), free().unwrap());
        assert_ne!(one, other);
        for address in [one, other] {
            assert!((PORT_FIRST..PORT_FIRST + PORTS).contains(&address.port()));
        }
    }
}
