//! Pages of long lists, by the id of the last item seen.

use uuid::Uuid;

/// The most items that one page may have.
const MAX_LIMIT: u32 = 1000;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Continue after this item; none: from the beginning.
    pub after: Option<Uuid>,
    /// How many items; from 1 to 1000.
    pub limit: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self { after: None, limit: 50 }
    }
}

impl Page {
    fn limit(self) -> u32 {
        self.limit.clamp(1, MAX_LIMIT)
    }

    /// One more than wanted: its presence shows that there is a next page.
    pub(crate) fn fetch(self) -> i64 {
        i64::from(self.limit()) + 1
    }

    /// Cuts what was fetched to the page.
    pub(crate) fn cut<T>(self, mut items: Vec<T>, id: impl Fn(&T) -> Uuid) -> PageOf<T> {
        let limit = self.limit() as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(id);
        PageOf { items, next }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageOf<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to give as [`Page::after`] for the next page; none: this was the last.
    pub next: Option<Uuid>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_page_has_no_next() {
        let page = Page { after: None, limit: 2 };
        let ids = [Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3)];
        let first = page.cut(ids.to_vec(), |id| *id);
        assert_eq!((first.items.len(), first.next), (2, Some(ids[1])));
        assert_eq!(page.cut(ids[..2].to_vec(), |id| *id).next, None);
    }

    #[test]
    fn a_limit_of_nothing_or_of_everything_is_brought_into_range() {
        assert_eq!(Page { after: None, limit: 0 }.fetch(), 2);
        assert_eq!(
            Page {
                after: None,
                limit: u32::MAX
            }
            .fetch(),
            1001
        );
    }
}
