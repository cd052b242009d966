//! Long lists, part by part.

/// The most rows of a page.
pub const MAX_LIMIT: u32 = 1_000;

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// How many rows at most, 1 to [`MAX_LIMIT`].
    pub limit: u32,
    /// How many rows are left out before them.
    pub offset: u32,
}

impl Default for PageRequest {
    fn default() -> Self {
        PageRequest { limit: 100, offset: 0 }
    }
}

/// A part of a list, and how long the whole is.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// How many rows there are in all.
    pub count: u64,
    /// Those of the page.
    pub rows: Vec<T>,
}
