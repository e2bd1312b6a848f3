//! Lists: `{items, next}` with an opaque cursor.

/// A page of a list. `next`, when present, is passed as `cursor` to get the page after it.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Page<T> {
    pub items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Most items a page can have; fewer when the caller asks for fewer.
pub const MAX_PAGE: u32 = 200;
/// Items on a page when the caller does not say.
pub const DEFAULT_PAGE: u32 = 50;

/// Most bytes of a page's items, but for a single one, which may have more.
pub const PAGE_BYTES: usize = 4 << 20;

/// What a page still takes: so many items, and so many bytes of them.
#[derive(Debug)]
pub struct PageRoom {
    items: usize,
    bytes: usize,
    is_empty: bool,
}

impl PageRoom {
    /// A page of at most `limit` items.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { items: limit as usize, bytes: PAGE_BYTES, is_empty: true }
    }

    /// Whether the page takes this one too; if not, it comes first on the next.
    pub fn takes(&mut self, item: &impl serde::Serialize) -> bool {
        let mut size = Size(0);
        // What cannot be written fails when the page is.
        let _ = serde_json::to_writer(&mut size, item);
        if self.items == 0 || (size.0 > self.bytes && !self.is_empty) {
            return false;
        }
        *self = Self { items: self.items - 1, bytes: self.bytes.saturating_sub(size.0), is_empty: false };
        true
    }
}

/// Counts what is written to it.
struct Size(usize);

impl std::io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_ends_by_items_and_by_bytes_and_always_takes_one() {
        let mut room = PageRoom::new(2);
        assert!(room.takes(&"a") && room.takes(&"b") && !room.takes(&"c"));
        let (large, small) = ("x".repeat(PAGE_BYTES * 2 / 3), "y");
        let mut room = PageRoom::new(200);
        assert!(room.takes(&large) && !room.takes(&large) && room.takes(&small));
        let mut room = PageRoom::new(200);
        assert!(room.takes(&"x".repeat(PAGE_BYTES * 2)) && !room.takes(&small));
    }
}
