//! Which of many patterns a path may fit at all, by a piece of text that such a path has at a certain place.

use std::collections::HashMap;

/// From so many patterns on, a shortlist is worth it.
const MANY: usize = 8;

/// Where a path has to have the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// So many bytes at its beginning.
    Beginning(usize),
    /// So many bytes at its end.
    Ending(usize),
    /// The segment behind so many slashes.
    Segment(usize),
}

impl Place {
    fn of(self, path: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Beginning(length) => path.get(..length),
            Self::Ending(length) => path.len().checked_sub(length).and_then(|from| path.get(from..)),
            Self::Segment(number) => path.split(|&byte| byte == b'/').nth(number),
        }
    }
}

/// Patterns by what they ask of a path; they are known by their numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shortlist {
    /// The patterns that ask for something at a place, each list in order.
    places: Vec<(Place, ByText)>,
}

/// The numbers of the patterns that ask for each text.
type ByText = HashMap<Box<[u8]>, Vec<u32>>;

impl Shortlist {
    /// Of the patterns in their order, what each asks for. `None` where they are few: to look at all of them is as good.
    pub(crate) fn of<'p>(patterns: impl ExactSizeIterator<Item = (Place, &'p [u8])>) -> Option<Box<Self>> {
        if patterns.len() < MANY {
            return None;
        }
        let mut list = Self::default();
        for (number, (place, text)) in (0..).zip(patterns) {
            let index = list.places.iter().position(|(other, _)| *other == place).unwrap_or_else(|| {
                list.places.push((place, HashMap::new()));
                list.places.len() - 1
            });
            if let Some((_, by_text)) = list.places.get_mut(index) {
                by_text.entry(text.into()).or_default().push(number);
            }
        }
        Some(Box::new(list))
    }

    /// The numbers of those that the path may fit, in order.
    pub(crate) fn numbers(&self, path: &[u8]) -> impl Iterator<Item = usize> {
        let lists = self.places.iter().filter_map(|(place, by_text)| by_text.get(place.of(path)?));
        let mut lists: Vec<&[u32]> = lists.map(Vec::as_slice).collect();
        std::iter::from_fn(move || {
            // Each of them is in order, and a pattern is in one of them only: the least first is next.
            let next =
                lists.iter_mut().filter(|list| !list.is_empty()).min_by_key(|list| list.first().copied())?;
            let (number, rest) = next.split_first()?;
            let number = *number as usize;
            *next = rest;
            Some(number)
        })
    }
}
