//! What goes wrong for a while.

use super::{Checked, CutOff, Happening, World};
use crate::edges::Node;
use crate::profile::MS;

impl World {
    pub(super) fn outage(&mut self) -> Checked {
        if self.rests {
            return Ok(());
        }
        let (edge, lasts, kind, gap, now, drift) = {
            let edges = self.nodes.len();
            let mut kernel = self.kernel();
            let profile = kernel.profile.clone();
            let lasts = kernel.span(profile.outage.clone());
            let gap = kernel.span(profile.outage_gap.unwrap_or(MS..2 * MS));
            let weights: u32 = profile.outage_weights.iter().sum();
            let mut at = kernel.random.u32(..weights);
            let kind = profile.outage_weights.iter().position(|&weight| {
                let found = at < weight;
                at = at.saturating_sub(weight);
                found
            });
            (kernel.random.usize(..edges), lasts, kind.unwrap_or_default(), gap, kernel.now, profile.drift)
        };
        self.happen_after(gap, Happening::Outage);
        match kind {
            0 | 1 => {
                self.cut_off.insert(edge, if kind == 0 { CutOff::Everything } else { CutOff::Syncs });
                self.happen_after(lasts, Happening::Reconnect(edge));
            }
            2 | 3 if !self.stands_still(edge) => {
                let is_suspended = kind == 3;
                self.nodes[edge].stands_still_until = Some(now + lasts);
                if is_suspended {
                    self.nodes[edge].was_suspended(lasts);
                }
                let generation = self.nodes[edge].generation;
                self.happen_after(lasts, Happening::Continues(edge, generation));
            }
            4 => {
                let generation = self.nodes[edge].generation + 1;
                let mut kernel = self.shared.lock();
                if let Some(node) = Node::start(edge, generation, &mut kernel.random, drift) {
                    self.nodes[edge] = node;
                }
            }
            5 | 6 if self.service_is_up => {
                self.service_is_up = false;
                self.tasks.kill();
                self.changing.clear();
                let longest_ms = self.terms.lease_ms + self.terms.margin_ms;
                let mut kernel = self.kernel();
                kernel.crash();
                if kind == 6 {
                    kernel.database.lose_leases(now + lasts, longest_ms);
                }
                drop(kernel);
                self.observe_commits();
                self.happen_after(lasts, Happening::ServiceStarts);
            }
            7 => {
                let by_ms = self.kernel().random.i64(-20_000..20_000);
                self.nodes[edge].set_wall_clock(by_ms);
            }
            _ => {}
        }
        Ok(())
    }
}
