//! Pages of long lists.

/// The most rows of a page.
pub const MAX_LIMIT: u32 = 1_000;

/// The requested page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The most rows of the page, 1 to [`MAX_LIMIT`].
    pub limit: u32,
    /// The number of rows before the page.
    pub offset: u32,
}

impl Default for PageRequest {
    fn default() -> Self {
        PageRequest { limit: 100, offset: 0 }
    }
}

/// A page of a list, and the length of the list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The total number of rows.
    pub count: u64,
    /// The rows of the page.
    pub rows: Vec<T>,
}
