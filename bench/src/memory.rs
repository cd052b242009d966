//! The memory of a VM, from Envoys with one worker and with many.

use anyhow::Result;

use crate::gateway::{Gateway, Site};
use crate::report::VmMemory;
use crate::usage;
use crate::variants::{Filter, IdentityHeaders};

/// The filters whose VMs are weighed, and their names.
const FILTERS: [(&str, Filter); 2] =
    [("empty SDK filter", Filter::Empty), ("ours", Filter::Ours(IdentityHeaders::All))];

/// The resident memory that one more VM takes, with an empty cache: Envoys with `additional` more workers are compared with
/// others of one worker, and what a worker without a filter takes does not count.
///
/// # Errors
/// An Envoy does not start.
pub(crate) fn of_vms(site: &Site, additional: u32) -> Result<Vec<VmMemory>> {
    let bytes_a_worker = |filter| {
        let of = |workers| {
            let gateway = Gateway::start(site, filter, workers, "memory")?;
            usage::memory(gateway.pid()?)
        };
        let (one, many) = (of(1)?, of(1 + additional)?);
        anyhow::Ok((many as f64 - one as f64) / f64::from(additional))
    };
    let none = bytes_a_worker(Filter::None)?;
    let weigh = |(name, filter)| Ok(VmMemory { name, bytes: bytes_a_worker(filter)? - none });
    FILTERS.into_iter().map(weigh).collect()
}
