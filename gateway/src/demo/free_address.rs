//! Addresses for gateways that start some time after they were chosen.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use super::DemoError;

/// First of the ports that stand for "any", and how many there are. Linux gives ports from 32,768
/// up to outgoing connections (`ip_local_port_range`), of which a load makes hundreds: a free one
/// from there may be taken by the time a gateway listens on it.
const PORT_FIRST: u16 = 20_000;
const PORTS: u16 = 12_000;
/// Ports tried before the system is asked for any.
const TRIES_MAX: u16 = 200;

/// The address with a port that nobody listens on at this moment; port 0 is any, another each time.
///
/// # Errors
/// Where it cannot be listened on; `flag` is what the user would change.
pub fn free_address(flag: &'static str, address: SocketAddr) -> Result<SocketAddr, DemoError> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    if address.port() == 0 {
        // Demonstrations side by side begin at different ports.
        let own = (std::process::id() % u32::from(PORTS)) as u16;
        for _ in 0..TRIES_MAX {
            let step = NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
            let mut candidate = address;
            candidate.set_port(PORT_FIRST + (own + step) % PORTS);
            if let Ok(free) = probe(candidate) {
                return Ok(free);
            }
        }
    }
    probe(address).map_err(|source| DemoError::Address {
        flag,
        address,
        source,
    })
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
        let one = free_address("--listen", any).unwrap();
        let other = free_address("--listen", any).unwrap();
        assert_ne!(one, other);
        for address in [one, other] {
            assert!((PORT_FIRST..PORT_FIRST + PORTS).contains(&address.port()));
        }
    }
}
