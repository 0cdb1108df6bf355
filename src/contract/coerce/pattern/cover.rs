//! Whether one pattern takes all that another one takes.

use super::{Item, Pattern};

impl Pattern {
    /// Whether this pattern takes each text that `other` takes, and in the same meaning; a pattern
    /// of another build may do so without being found.
    pub(in crate::contract) fn covers(&self, other: &Pattern) -> bool {
        covers(&self.items, &other.items)
    }
}

fn covers(wide: &[Item], narrow: &[Item]) -> bool {
    match (wide, narrow) {
        ([], []) => true,
        (
            [Item::PointAndFraction, wide @ ..],
            [Item::Text(point), Item::Fraction(..), narrow @ ..],
        ) if point == "." => covers(wide, narrow),
        ([first, wide_rest @ ..], [second, narrow_rest @ ..])
            if first.covers(second) && covers(wide_rest, narrow_rest) =>
        {
            true
        }
        ([Item::PointAndFraction, wide @ ..], narrow) => covers(wide, narrow),
        _ => false,
    }
}

impl Item {
    fn covers(&self, other: &Item) -> bool {
        match (self, other) {
            (Item::Number(wide), Item::Number(narrow)) => {
                wide.part == narrow.part
                    && wide.least <= narrow.least
                    && wide.most >= narrow.most
                    && (wide.is_spaced || !narrow.is_spaced)
            }
            (Item::Fraction(least, most), Item::Fraction(narrow_least, narrow_most)) => {
                least <= narrow_least && most >= narrow_most
            }
            (Item::Zone, Item::Offset) => true,
            _ => self == other,
        }
    }
}
