//! Counts what simplifying conditions goes through, for the tests that bound it; in the program itself it counts nothing.

#[cfg(test)]
thread_local! {
    static TAKEN: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// So many more parts or atoms were looked at.
#[cfg(test)]
pub(super) fn add(many: usize) {
    TAKEN.with(|taken| taken.set(taken.get() + many));
}

#[cfg(not(test))]
pub(super) fn add(_many: usize) {}

/// How many it took to do this on the present thread.
#[cfg(test)]
pub(super) fn taken<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = TAKEN.with(std::cell::Cell::get);
    let done = work();
    (done, TAKEN.with(std::cell::Cell::get) - before)
}
