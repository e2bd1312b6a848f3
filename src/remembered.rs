//! Values that were read, evaluated or verified before, so that the same question costs little the second time: one small
//! cache for every layer.
//!
//! It is bounded, by a number of values and, where these differ in size, by what they weigh: when [`Remembered`] is full and a
//! new key comes, it forgets everything. It keeps no order of use, so a look
//! changes nothing, and what is in use is soon back. It never decides whether a value still holds: a value is kept with its
//! stamp (a revision, a digest, a serial, the facts it follows from), and the reader brings the present one. Forgetting a value
//! must cost time and nothing else. Two callers may look for the same value at once; both insert it, and nobody waits.
//!
//! These stay what they are. To forget a count would give a quota back (`service::usage`, `http::rates`, `http::shares`,
//! `http::refusals`). `http::known_members` has two maps that must agree. A revocation list (`http::crl`) counts as proven by
//! the signers that it has found. Of what `service::rules` foresees, four engines in all, the oldest goes, so that previews
//! side by side keep theirs. A single value needs no bound and stands in a cell.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// At most `MOST` values by key, which weigh at most `WEIGHT` before the last of them.
pub struct Remembered<K, V, const MOST: usize, const WEIGHT: usize = { usize::MAX }>(Mutex<Values<K, V>>);

struct Values<K, V> {
    /// Each with what it weighs.
    by_key: HashMap<K, (V, usize)>,
    weight: usize,
}

impl<K, V> Default for Values<K, V> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), weight: 0 }
    }
}

impl<K, V, const MOST: usize, const WEIGHT: usize> Remembered<K, V, MOST, WEIGHT> {
    fn lock(&self) -> MutexGuard<'_, Values<K, V>> {
        // A holder that panicked left a whole map behind: each value in it was found by somebody.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V, const MOST: usize, const WEIGHT: usize> Remembered<K, V, MOST, WEIGHT> {
    /// Keeps a value in the place of the one that its key had. With a new key too many, all others are forgotten.
    pub fn insert(&self, key: K, value: V) {
        self.insert_weighing(key, value, 0);
    }

    /// The same of a value that weighs something.
    pub fn insert_weighing(&self, key: K, value: V, weight: usize) {
        let mut values = self.lock();
        let replaced = values.by_key.remove(&key);
        values.weight -= replaced.as_ref().map_or(0, |(_, weight)| *weight);
        let is_full = values.by_key.len() >= MOST || values.weight.saturating_add(weight) > WEIGHT;
        let forgotten = if is_full { mem::take(&mut *values) } else { Values::default() };
        values.weight = values.weight.saturating_add(weight);
        values.by_key.insert(key, (value, weight));
        // To let go of thousands of values takes a while; others go on meanwhile.
        drop(values);
        drop((forgotten, replaced));
    }

    /// The value of a key, whatever its stamp.
    pub fn get(&self, key: &K) -> Option<V>
    where
        V: Clone,
    {
        self.lock().by_key.get(key).map(|(value, _)| value.clone())
    }

    /// Forgets the value of a key.
    pub fn remove(&self, key: &K) {
        let mut values = self.lock();
        let removed = values.by_key.remove(key);
        values.weight -= removed.as_ref().map_or(0, |(_, weight)| *weight);
        drop(values);
        drop(removed);
    }

    /// Forgets the values of all other keys.
    pub fn retain(&self, mut keep: impl FnMut(&K) -> bool) {
        let mut values = self.lock();
        let Values { by_key, weight } = &mut *values;
        by_key.retain(|key, (_, of_it)| {
            let stays = keep(key);
            *weight -= if stays { 0 } else { *of_it };
            stays
        });
    }
}

impl<K: Eq + Hash, S: PartialEq, V: Clone, const MOST: usize, const WEIGHT: usize> Remembered<K, (S, V), MOST, WEIGHT> {
    /// The value of a key, if it was kept with this stamp.
    pub fn get_at(&self, key: &K, stamp: &S) -> Option<V> {
        self.lock().by_key.get(key).filter(|((kept, _), _)| kept == stamp).map(|((_, value), _)| value.clone())
    }
}

impl<K, V, const MOST: usize, const WEIGHT: usize> Default for Remembered<K, V, MOST, WEIGHT> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// How many values there are. Some are secrets.
impl<K, V, const MOST: usize, const WEIGHT: usize> fmt::Debug for Remembered<K, V, MOST, WEIGHT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remembered({} of {MOST})", self.lock().by_key.len())
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
    fn values_that_weigh_too_much_together_are_forgotten() {
        let known = Remembered::<_, _, 8, 10>::default();
        known.insert_weighing("one", 1, 4);
        known.insert_weighing("two", 2, 6);
        known.insert_weighing("two", 22, 5);
        known.remove(&"one");
        known.insert_weighing("three", 3, 5);
        assert_eq!(
            ["one", "two", "three"].map(|key| known.get(&key)),
            [None, Some(22), Some(3)],
            "ten are not too many"
        );
        known.retain(|key| *key != "two");
        known.insert_weighing("four", 4, 6);
        assert_eq!(["two", "three", "four"].map(|key| known.get(&key)), [None, None, Some(4)]);
        known.insert_weighing("five", 5, 11);
        assert_eq!(
            ["four", "five"].map(|key| known.get(&key)),
            [None, Some(5)],
            "the last one stays, whatever it weighs"
        );
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
                prop_assert!(known.lock().by_key.len() <= 4);
                prop_assert_eq!(known.get(&key), Some(value));
                let is_latest = known.lock().by_key.iter().all(|(key, (value, _))| latest[key] == *value);
                prop_assert!(is_latest);
            }
        }
    }
}
