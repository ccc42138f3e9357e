//! A table of bounded size that forgets what was not asked for longest.

use std::collections::HashMap;
use std::hash::Hash;

/// Keys with small values, in two generations: what is asked for lives in the young one. When that is full it becomes the old
/// one, and what was in the old one is forgotten: finding, keeping and forgetting cost the same however many keys there are.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Most keys of one generation.
    most: usize,
}

impl<K: Hash + Eq, V: Copy> Recent<K, V> {
    /// One of at most `most` keys, which keeps at least the half of them that was asked for last.
    pub(crate) fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most: (most / 2).max(1) }
    }

    /// The value of a key.
    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(*value);
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.put(key, value);
        Some(value)
    }

    /// Keeps a value, in place of an earlier one.
    pub(crate) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.most && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_asked_for_and_never_more_than_it_may() {
        let mut recent = Recent::new(100);
        recent.put(0, 'a');
        for key in 1..10_000 {
            recent.put(key, 'b');
            assert_eq!(recent.get(&0), Some('a'), "after {key}");
            assert!(recent.young.len() + recent.old.len() <= 100);
        }
        assert_eq!(recent.get(&9_999), Some('b'));
        assert_eq!(recent.get(&9_000), None, "forgotten");
    }

    #[test]
    fn a_later_value_takes_the_place_of_the_earlier() {
        let mut recent = Recent::new(4);
        recent.put(1, 1);
        recent.put(2, 2);
        recent.put(3, 3);
        recent.put(1, 10);
        assert_eq!((recent.get(&1), recent.get(&3)), (Some(10), Some(3)));
    }
}
