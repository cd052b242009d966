//! The addresses of a stack: fixed ones for the demo, free ones for a test.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::Range;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use listeners::Protocol;

/// The addresses that the parts of a stack listen on, all on loopback.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The key service's public listener: API and page.
    pub public: SocketAddr,
    /// The key service's edge listener.
    pub edge: SocketAddr,
    /// The echo upstream.
    pub echo: SocketAddr,
    /// Each Envoy.
    pub envoys: Vec<EnvoyAddresses>,
}

/// The addresses of one Envoy.
#[derive(Clone, Copy, Debug)]
pub struct EnvoyAddresses {
    /// The listener for downstream clients.
    pub listener: SocketAddr,
    /// The admin interface.
    pub admin: SocketAddr,
}

impl Addresses {
    /// The demo's addresses, with `offset` added to each port.
    pub fn demo(offset: u16) -> Self {
        let at = |port| loopback(port + offset);
        let envoy = EnvoyAddresses { listener: at(10000), admin: at(9901) };
        Addresses { public: at(8080), edge: at(8081), echo: at(8082), envoys: vec![envoy] }
    }

    /// Free addresses for a stack of `envoys` Envoys.
    ///
    /// # Errors
    /// No free port is left.
    pub fn free(envoys: usize) -> Result<Self> {
        let envoys = (0..envoys).map(|_| Ok(EnvoyAddresses { listener: free()?, admin: free()? }));
        Ok(Addresses {
            public: free()?,
            edge: free()?,
            echo: free()?,
            envoys: envoys.collect::<Result<_>>()?,
        })
    }

    /// Checks that every port is free.
    ///
    /// # Errors
    /// Names every port that is in use, the part that needs it, and the process that listens on it.
    pub fn require_free(&self) -> Result<()> {
        let service = [
            ("key service", self.public),
            ("key service's edge listener", self.edge),
            ("echo upstream", self.echo),
        ];
        let envoys = self.envoys.iter();
        let envoys = envoys.flat_map(|envoy| [("Envoy", envoy.listener), ("Envoy's admin", envoy.admin)]);
        let taken: Vec<String> = service
            .into_iter()
            .chain(envoys)
            .filter(|(_, address)| !is_free(*address))
            .map(|(part, address)| {
                let process = listening_process(address.port());
                format!(
                    "  {address} ({part}): {}",
                    process.unwrap_or_else(|| "used by another user".to_owned())
                )
            })
            .collect();
        if !taken.is_empty() {
            bail!("these ports are in use; stop the processes or choose other ports:\n{}", taken.join("\n"));
        }
        Ok(())
    }
}

/// The process that listens on a port, if the system shows it to this user.
fn listening_process(port: u16) -> Option<String> {
    let process = listeners::get_process_by_port(port, Protocol::TCP).ok()?;
    Some(format!("used by {} (pid {})", process.name, process.pid))
}

/// Whether nothing listens on an address. This connects instead of binding: a process that another thread starts at the same
/// moment would inherit a bound socket, and keep the port in use until it runs its program.
fn is_free(address: SocketAddr) -> bool {
    let connected = TcpStream::connect_timeout(&address, Duration::from_secs(1));
    connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Below the ephemeral ports, so that no outgoing connection takes one of these.
const FREE_PORTS: Range<u16> = 20000..30000;

/// A free address on loopback. This process does not return it again for 10,000 calls, so that a server can be stopped and
/// started on it.
///
/// # Errors
/// No free port is left.
pub fn free() -> Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = FREE_PORTS.end - FREE_PORTS.start;
    // Test programs that run at the same time start far apart in the range.
    let first = process::id().wrapping_mul(617) % u32::from(count);
    for _ in 0..count {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let address = loopback(FREE_PORTS.start + ((first + step) % u32::from(count)) as u16);
        if is_free(address) {
            return Ok(address);
        }
    }
    bail!("no port of {}..{} is free", FREE_PORTS.start, FREE_PORTS.end)
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_demo_has_the_documented_ports() {
        let demo = Addresses::demo(0);
        let ports = [demo.public, demo.edge, demo.echo, demo.envoys[0].listener, demo.envoys[0].admin];
        assert_eq!(
            ports.map(|address| address.to_string()).join(" "),
            "127.0.0.1:8080 127.0.0.1:8081 127.0.0.1:8082 127.0.0.1:10000 127.0.0.1:9901"
        );
        assert_eq!(Addresses::demo(50_000).envoys[0].listener.port(), 60_000);
    }

    #[test]
    fn a_port_in_use_is_reported_with_its_process() {
        let addresses = Addresses::free(2).unwrap();
        addresses.require_free().unwrap();
        let taken = addresses.envoys[1].admin;
        let _listener = TcpListener::bind(taken).unwrap();
        let error = addresses.require_free().unwrap_err().to_string();
        assert!(error.contains(&format!("{taken} (Envoy's admin)")), "{error}");
        assert!(error.contains(&format!("(pid {})", process::id())), "{error}");
        assert_eq!(error.lines().count(), 2, "{error}");
    }

    #[test]
    fn free_ports_are_not_returned_twice() {
        let (one, other) = (Addresses::free(1).unwrap(), Addresses::free(1).unwrap());
        let ports = |a: &Addresses| [a.public, a.edge, a.echo, a.envoys[0].listener, a.envoys[0].admin];
        assert!(ports(&one).iter().all(|port| !ports(&other).contains(port)));
    }
}
