//! Time as the pure modules see it: readings of two clocks, passed in by the caller.

/// One reading of both clocks, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The monotonic clock, from an arbitrary start. It never jumps, and may stand still while the machine is
    /// suspended.
    pub monotonic: u64,
    /// The wall clock, since 1970-01-01 UTC. It runs on while the machine is suspended, and may be set to any time.
    pub wall: u64,
}

/// A deadline on both clocks. It has come as soon as either clock reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    monotonic: u64,
    wall: u64,
}

impl Moment {
    /// The deadline that many milliseconds from now.
    pub fn plus(self, milliseconds: u64) -> Deadline {
        Deadline {
            monotonic: self.monotonic.saturating_add(milliseconds),
            wall: self.wall.saturating_add(milliseconds),
        }
    }
}

impl Deadline {
    /// Whether it has come. Rule `WallClock`.
    pub fn has_come(self, now: Moment) -> bool {
        now.monotonic >= self.monotonic || now.wall >= self.wall
    }

    /// How many milliseconds are left, by the clock that reaches the deadline first.
    pub fn left_ms(self, now: Moment) -> u64 {
        self.monotonic.saturating_sub(now.monotonic).min(self.wall.saturating_sub(now.wall))
    }

    /// The deadline that many milliseconds later.
    pub fn plus(self, milliseconds: u64) -> Deadline {
        Moment { monotonic: self.monotonic, wall: self.wall }.plus(milliseconds)
    }

    /// The earlier of two deadlines, on each clock.
    pub fn earlier(self, other: Deadline) -> Deadline {
        Deadline { monotonic: self.monotonic.min(other.monotonic), wall: self.wall.min(other.wall) }
    }

    /// The same deadline, but with no more time left than now on either clock. Setting the wall clock back later
    /// neither extends it nor revives it.
    pub fn latched(self, now: Moment) -> Deadline {
        self.earlier(now.plus(self.left_ms(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_has_come_when_either_clock_says_so() {
        let start = Moment { monotonic: 10, wall: 1_000 };
        let end = start.plus(5);
        let at = |monotonic, wall| end.has_come(Moment { monotonic, wall });
        assert!(!at(14, 1_004));
        assert!(at(15, 1_004), "the wall clock was set back");
        assert!(at(11, 1_005), "the machine was suspended");
        assert!(!at(14, 900));
        let left = |monotonic, wall| end.left_ms(Moment { monotonic, wall });
        assert_eq!((left(11, 1_003), left(13, 900), left(16, 1_000)), (2, 2, 0));
    }

    #[test]
    fn the_time_left_of_a_latched_deadline_never_grows() {
        let at = |monotonic, wall| Moment { monotonic, wall };
        let end = at(10, 1_000).plus(50).latched(at(20, 1_030));
        assert_eq!(end.left_ms(at(20, 0)), 20, "the wall clock was ahead, and is set back");
        let end = at(10, 1_000).plus(50).latched(at(20, 500));
        assert_eq!(end.left_ms(at(20, 530)), 10, "it was set back, and then the machine was suspended");
        let ended = at(10, 1_000).plus(50).latched(at(20, 1_050));
        assert!(ended.has_come(at(20, 0)));
        assert_eq!(ended.latched(at(90, 0)).plus(30).left_ms(at(25, 0)), 25, "the first reading counts");
    }
}
