//! Addresses for gateways that start some time after they were chosen.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// First of the ports that stand for "any", and how many there are. Linux gives ports from 32,768 up to
/// outgoing connections (`ip_local_port_range`), of which a load makes hundreds: a free one from
/// there may be taken by the time a gateway listens on it.
const PORT_FIRST: u16 = 20_000;
const PORTS: u16 = 12_000;
/// Ports tried.
const TRIES_MAX: u16 = 200;

/// `address` where its port is not 0, else with a port in its place, another one each time: nobody
/// listens there at this moment.
///
/// # Errors
/// Where the address, or none of [`TRIES_MAX`] ports of it, can be listened on; with what the last
/// said.
pub fn free_address(address: SocketAddr) -> std::io::Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    if address.port() != 0 {
        return probe(address);
    }
    // Processes side by side begin at different ports.
    let own = (std::process::id() % u32::from(PORTS)) as u16;
    let mut last = Err(std::io::ErrorKind::AddrInUse.into());
    for _ in 0..TRIES_MAX {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
        let mut candidate = address;
        candidate.set_port(PORT_FIRST + (own + step) % PORTS);
        last = probe(candidate);
        if last.is_ok() {
            break;
        }
    }
    last
}

fn probe(address: SocketAddr) -> std::io::Result<SocketAddr> {
    TcpListener::bind(address)?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_port_is_another_each_time_and_below_those_of_outgoing_connections() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (one, other) = (free_address(any).unwrap(), free_address(any).unwrap());
        assert_ne!(one, other);
        for address in [one, other] {
            assert!((PORT_FIRST..PORT_FIRST + PORTS).contains(&address.port()));
        }
    }

    #[test]
    fn a_chosen_port_is_kept_or_refused() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        assert!(free_address(address).is_err());
        drop(held);
        assert_eq!(free_address(address).unwrap(), address);
    }
}
