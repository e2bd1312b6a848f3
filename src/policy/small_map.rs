//! A map that mostly has a handful of keys: it looks through these, and hashes them once they are more.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

/// So many keys are looked through: comparing them takes less than hashing one.
const HANDFUL: usize = 16;

/// Keys with a value each.
#[derive(Debug)]
pub(super) struct SmallMap<K, V> {
    few: Vec<(K, V)>,
    /// All of them, once there are more than a handful.
    many: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Copy> SmallMap<K, V> {
    pub(super) fn new() -> Self {
        Self { few: Vec::new(), many: HashMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.few.is_empty() && self.many.is_empty()
    }

    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let found = self.few.iter().find(|(known, _)| known.borrow() == key).map(|(_, value)| *value);
        found.or_else(|| if self.many.is_empty() { None } else { self.many.get(key).copied() })
    }

    /// The value that the key had before; it keeps that.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(before) = self.get::<K>(&key) {
            return Some(before);
        }
        if self.many.is_empty() && self.few.len() < HANDFUL {
            self.few.push((key, value));
        } else {
            self.many.extend(self.few.drain(..));
            self.many.insert(key, value);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_first_value_however_many_there_are() {
        let mut map = SmallMap::new();
        assert!(map.is_empty());
        for key in 0..100 {
            assert_eq!(map.insert(key, key * 2), None);
            for known in 0..=key {
                assert_eq!(map.get(&known), Some(known * 2));
                assert_eq!(map.insert(known, 1), Some(known * 2));
            }
            assert_eq!(map.get(&(key + 1)), None);
            assert!(!map.is_empty());
        }
    }
}
