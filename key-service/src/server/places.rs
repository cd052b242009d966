//! The places of a listener: how many connections may be open, in all and from one network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::network::Network;
use crate::web::client_address::TrustedProxies;

/// The most open connections of the public listener: well below what a process may open, so that no number of idle
/// clients keeps edges out.
const MAX_CONNECTIONS: usize = 512;

/// The most of them from one IPv4 address or IPv6 /64: a quarter. A browser opens six.
const MAX_PER_NETWORK: usize = 128;

/// The most of them from one IPv6 /48: half.
const MAX_PER_SITE: usize = 256;

/// The places of one listener.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    shares: Option<Shares>,
}

/// The shares of the places that networks may take.
#[derive(Debug)]
struct Shares {
    taken: Arc<Taken>,
    exempt: TrustedProxies,
}

/// How many connections each network, and each site, has open. No entry is zero.
#[derive(Debug, Default)]
struct Taken(Mutex<HashMap<Network, Open>>);

#[derive(Debug, Default)]
struct Open {
    connections: usize,
    is_reported: bool,
}

/// A connection's place in the share of its network. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Share {
    taken: Arc<Taken>,
    networks: [Option<Network>; 2],
}

impl Places {
    /// An unlimited number of places.
    pub(crate) fn unlimited() -> Self {
        Places { free: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)), shares: None }
    }

    /// The places of the public listener. Trusted proxies may take all of them.
    pub(crate) fn of_public_listener(exempt: TrustedProxies) -> Self {
        let shares = Shares { taken: Arc::default(), exempt };
        Places { free: Arc::new(Semaphore::new(MAX_CONNECTIONS)), shares: Some(shares) }
    }

    /// Waits for a place.
    pub(crate) async fn free(&self) -> Option<OwnedSemaphorePermit> {
        // An error means that the semaphore is closed, which does not happen.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Whether a connection from `peer` may be served.
    ///
    /// # Errors
    /// Its network has taken its share.
    pub(crate) fn share(&self, peer: IpAddr) -> Result<Option<Share>, ShareTaken> {
        match &self.shares {
            Some(shares) if !shares.exempt.trust(peer.to_canonical()) => shares.taken.take(peer).map(Some),
            _ => Ok(None),
        }
    }
}

/// The network's share is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShareTaken;

impl Taken {
    fn take(self: &Arc<Self>, peer: IpAddr) -> Result<Share, ShareTaken> {
        let networks = [Some(Network::of(peer)), Network::site_of(peer)];
        let mut open = self.lock();
        for (network, most) in networks.iter().zip([MAX_PER_NETWORK, MAX_PER_SITE]) {
            let Some(full) = network.and_then(|network| open.get_mut(&network)) else { continue };
            if full.connections >= most {
                if !full.is_reported {
                    full.is_reported = true;
                    tracing::warn!(
                        %peer,
                        open = most,
                        "an address has reached its limit of open connections; if it is a proxy, add it to TRUSTED_PROXIES"
                    );
                }
                return Err(ShareTaken);
            }
        }
        for network in networks.into_iter().flatten() {
            open.entry(network).or_default().connections += 1;
        }
        drop(open);
        Ok(Share { taken: Arc::clone(self), networks })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Network, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut open = self.taken.lock();
        for network in self.networks.into_iter().flatten() {
            if let Some(entry) = open.get_mut(&network) {
                entry.connections -= 1;
                if entry.connections == 0 {
                    open.remove(&network);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes places until none is left.
    fn take_all(places: &Places, mut peer: impl FnMut(u16) -> IpAddr) -> Vec<Share> {
        (0..600).map_while(|n| places.share(peer(n)).ok()).map(Option::unwrap).collect()
    }

    fn ipv6(site: u16, network: u16, host: u16) -> IpAddr {
        [0x2001, 0xdb8, site, network, 0, 0, 0, host].into()
    }

    #[test]
    fn a_network_has_a_quarter_of_the_places_and_a_site_half() {
        let places = Places::of_public_listener(TrustedProxies::default());
        let one: IpAddr = [192, 0, 2, 1].into();
        let of_one = take_all(&places, |_| one);
        assert_eq!(of_one.len(), 128);
        let two = IpAddr::from([192, 0, 2, 2]);
        assert_eq!(take_all(&places, |_| two).len(), 128);
        assert_eq!(take_all(&places, |host| ipv6(1, 1, host)).len(), 128);

        let site = take_all(&places, |network| ipv6(2, network, 1));
        assert_eq!(site.len(), 256, "of whatever networks");
        assert!(places.share(ipv6(2, 0, 1)).is_err() && places.share(ipv6(3, 0, 1)).is_ok());

        drop(of_one);
        assert!(places.share(one).is_ok());
        drop(site);
        assert!(places.share(ipv6(2, 0, 1)).is_ok());
        assert!(places.shares.unwrap().taken.lock().is_empty(), "nothing stays in memory");
    }

    #[test]
    fn a_trusted_proxy_may_take_all() {
        let places = Places::of_public_listener("192.0.2.1".parse().unwrap());
        for peer in ["192.0.2.1", "::ffff:192.0.2.1"] {
            assert!((0..600).all(|_| places.share(peer.parse().unwrap()).unwrap().is_none()));
        }
    }
}
