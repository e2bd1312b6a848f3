//! Values that were read, evaluated or verified before, so that the same question costs little the second time: one small
//! cache for every layer.
//!
//! It is bounded: when [`Remembered`] is full and a new key comes, it forgets everything. It keeps no order of use, so a look
//! changes nothing, and what is in use is soon back. It never decides whether a value still holds: a value is kept with its
//! stamp (a revision, a digest, a serial, the facts it follows from), and the reader brings the present one. Forgetting a value
//! must cost time and nothing else. Two callers may look for the same value at once; both insert it, and nobody waits.
//!
//! These stay what they are. To forget a count would give a quota back (`service::usage`, `http::rates`, `http::shares`,
//! `http::refusals`). `http::known_members` has two maps that must agree. A revocation list (`http::crl`) counts as proven by
//! the signers that it has found. Predicates (`policy::caches`) are bounded by their size, too, and two maps forget together. Of what `service::rules` foresees, four engines in all, the oldest goes, so that previews
//! side by side keep theirs. A single value needs no bound and stands in a cell.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// At most `MOST` values by key.
pub struct Remembered<K, V, const MOST: usize>(Mutex<HashMap<K, V>>);

impl<K, V, const MOST: usize> Remembered<K, V, MOST> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, V>> {
        // A holder that panicked left a whole map behind: each value in it was found by somebody.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V, const MOST: usize> Remembered<K, V, MOST> {
    /// Keeps a value in the place of the one that its key had. With a new key too many, all others are forgotten.
    pub fn insert(&self, key: K, value: V) {
        let mut values = self.lock();
        let is_full = values.len() >= MOST && !values.contains_key(&key);
        let forgotten = if is_full { mem::take(&mut *values) } else { HashMap::new() };
        let replaced = values.insert(key, value);
        // To let go of thousands of values takes a while; others go on meanwhile.
        drop(values);
        drop((forgotten, replaced));
    }

    /// The value of a key, whatever its stamp.
    pub fn get(&self, key: &K) -> Option<V>
    where
        V: Clone,
    {
        self.lock().get(key).cloned()
    }

    /// Forgets the value of a key.
    pub fn remove(&self, key: &K) {
        self.lock().remove(key);
    }

    /// Forgets the values of all other keys.
    pub fn retain(&self, mut keep: impl FnMut(&K) -> bool) {
        self.lock().retain(|key, _| keep(key));
    }
}

impl<K: Eq + Hash, S: PartialEq, V: Clone, const MOST: usize> Remembered<K, (S, V), MOST> {
    /// The value of a key, if it was kept with this stamp.
    pub fn get_at(&self, key: &K, stamp: &S) -> Option<V> {
        self.lock().get(key).filter(|(kept, _)| kept == stamp).map(|(_, value)| value.clone())
    }
}

impl<K, V, const MOST: usize> Default for Remembered<K, V, MOST> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// How many values there are. Some are secrets.
impl<K, V, const MOST: usize> fmt::Debug for Remembered<K, V, MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remembered({} of {MOST})", self.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{Arc, OnceLock, Weak},
    };

    #[test]
    fn everything_is_forgotten_when_a_new_key_is_one_too_many() {
        let known = Remembered::<_, _, 2>::default();
        known.insert("one", 1);
        known.insert("two", 2);
        known.insert("two", 22);
        assert_eq!((known.get(&"one"), known.get(&"two")), (Some(1), Some(22)), "a key that is there takes no place");
        known.insert("three", 3);
        assert_eq!((known.get(&"one"), known.get(&"two"), known.get(&"three")), (None, None, Some(3)));
    }

    #[test]
    fn value_with_another_stamp_is_not_found() {
        let known = Remembered::<_, _, 2>::default();
        known.insert("call", (7, "text"));
        assert_eq!((known.get_at(&"call", &7), known.get_at(&"call", &8)), (Some("text"), None));
        known.insert("call", (8, "amended"));
        assert_eq!((known.get_at(&"call", &7), known.get_at(&"call", &8)), (None, Some("amended")));
        assert_eq!(known.get(&"call"), Some((8, "amended")));
    }

    #[test]
    fn forgotten_keys_are_gone_and_others_stay() {
        let known = Remembered::<_, _, 4>::default();
        (0..4).for_each(|key| known.insert(key, key));
        known.remove(&0);
        known.retain(|key| *key != 2);
        assert_eq!([0, 1, 2, 3].map(|key| known.get(&key)), [None, Some(1), None, Some(3)]);
    }

    #[test]
    fn values_are_found_after_a_holder_panicked() {
        let known = Remembered::<_, _, 4>::default();
        known.insert("one", 1);
        let panicked = catch_unwind(AssertUnwindSafe(|| known.retain(|_| panic!("on purpose"))));
        assert!(panicked.is_err() && known.0.is_poisoned());
        known.insert("two", 2);
        assert_eq!(known.get(&"two"), Some(2));
    }

    /// Looks into the cache while it is let go.
    struct Looks(Weak<Remembered<u8, Arc<Self>, 1>>, Arc<OnceLock<bool>>);

    impl Drop for Looks {
        fn drop(&mut self) {
            let is_free = self.0.upgrade().map(|known| known.0.try_lock().is_ok());
            let _ = self.1.set(is_free.unwrap_or_default());
        }
    }

    #[test]
    fn forgotten_values_are_let_go_after_the_lock() {
        let (known, was_free) = (Arc::new(Remembered::<u8, Arc<Looks>, 1>::default()), Arc::new(OnceLock::new()));
        known.insert(1, Arc::new(Looks(Arc::downgrade(&known), Arc::clone(&was_free))));
        known.insert(2, Arc::new(Looks(Weak::new(), Arc::default())));
        assert_eq!(was_free.get(), Some(&true));
    }

    #[test]
    fn values_are_not_shown() {
        let known = Remembered::<_, _, 4>::default();
        known.insert("vault", "secret");
        assert_eq!(format!("{known:?}"), "Remembered(1 of 4)");
    }

    proptest! {
        #[test]
        fn no_more_are_kept_than_fit_and_none_but_the_latest_of_a_key(kept in prop::collection::vec((0_u8..8, any::<u8>()), 0..40)) {
            let (known, mut latest) = (Remembered::<_, _, 4>::default(), HashMap::new());
            for (key, value) in kept {
                known.insert(key, value);
                latest.insert(key, value);
                prop_assert!(known.lock().len() <= 4);
                prop_assert_eq!(known.get(&key), Some(value));
                let is_latest = known.lock().iter().all(|(key, value)| latest[key] == *value);
                prop_assert!(is_latest);
            }
        }
    }
}
