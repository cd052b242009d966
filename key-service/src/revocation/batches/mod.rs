//! What edges ask all the time, and changes that wait for them, in batches.

pub(super) mod flush;
pub(super) mod histories;
pub(super) mod holders;
pub(super) mod records;
pub(super) mod verdicts;
