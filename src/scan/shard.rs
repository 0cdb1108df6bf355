//! Parts of a run's input.

use std::fmt;
use std::str::FromStr;

use super::SourceObject;

/// The i-th of n disjoint parts of a run's input, from 0.
///
/// ```text
/// objects a b c d e     shard 0/2  a c e     shard 1/2  b d
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// All of the input.
    pub const WHOLE: Shard = Shard { index: 0, count: 1 };

    /// All parts.
    pub fn all(count: u32) -> Vec<Shard> {
        (0..count).map(|index| Shard { index, count }).collect()
    }

    /// Whether it is all of the input.
    pub fn is_whole(self) -> bool {
        self.count == 1
    }

    /// Its objects, of those that were listed, sorted by name.
    pub fn take(self, objects: Vec<SourceObject>) -> Vec<SourceObject> {
        let numbered = (0..self.count).cycle().zip(objects);
        numbered.filter(|(number, _)| *number == self.index).map(|(_, object)| object).collect()
    }

    /// The name of its task in the state: `0-of-2`.
    pub fn task(self) -> String {
        format!("{}-of-{}", self.index, self.count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    /// Reads `0/2`.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected INDEX/COUNT such as 0/4, with INDEX from 0, found {text}");
        let (index, count) = text.split_once('/').ok_or_else(expected)?;
        match (index.parse(), count.parse()) {
            (Ok(index), Ok(count)) if index < count => Ok(Shard { index, count }),
            _ => Err(expected()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_an_index_below_its_count() {
        assert_eq!("1/3".parse::<Shard>().unwrap().task(), "1-of-3");
        for wrong in ["", "1", "3/3", "-1/3", "0/0", "a/b", "1/2/3"] {
            assert!(wrong.parse::<Shard>().unwrap_err().contains("INDEX/COUNT"), "{wrong}");
        }
    }
}
