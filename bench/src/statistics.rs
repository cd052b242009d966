//! Medians, quartiles and percentiles.

use serde::Serialize;

/// The median and the quartiles of some figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Quartiles {
    pub(crate) lower: f64,
    pub(crate) median: f64,
    pub(crate) upper: f64,
}

impl Quartiles {
    /// Of these figures, in any order; interpolated between neighbours. `None` without any.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Some(Quartiles { lower: at(0.25), median: at(0.5), upper: at(0.75) })
    }
}

/// The smallest of these times that is not below `share` of them; `None` without any.
pub(crate) fn percentile(times: &mut [u64], share: f64) -> Option<u64> {
    let rank = (share * times.len() as f64).ceil() as usize;
    let index = rank.saturating_sub(1);
    (index < times.len()).then(|| *times.select_nth_unstable(index).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours() {
        assert_eq!(Quartiles::of([]), None);
        assert_eq!(Quartiles::of([2.0]), Some(Quartiles { lower: 2.0, median: 2.0, upper: 2.0 }));
        let of_five = Quartiles::of([5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!(of_five, Some(Quartiles { lower: 2.0, median: 3.0, upper: 4.0 }));
        assert_eq!(Quartiles::of([1.0, 2.0]).map(|of| of.median), Some(1.5));
    }

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let mut times: Vec<u64> = (1..=200).rev().collect();
        assert_eq!(percentile(&mut times, 0.5), Some(100));
        assert_eq!(percentile(&mut times, 0.99), Some(198));
        assert_eq!(percentile(&mut [7], 0.99), Some(7));
        assert_eq!(percentile(&mut [], 0.5), None);
    }
}
