//! How a handler does an act.
//!
//! Each handler of an act has one shape: it names its extractors, reads identifiers, and gives [`act!`] the one call of `service`.
//! A macro, since that call is written once and may run twice, each time with another context: a function would want an
//! asynchronous closure in its place, and two `await`s at each of some forty handlers.

/// Does an act, or a read that leaves an entry. While others write or wait to, it is rehearsed first, so that one that is refused takes no
/// turn from them. On a server where nobody writes it costs nothing.
macro_rules! act {
    ($api:expr, $context:expr, |$name:ident| $act:expr) => {{
        let context = &$context;
        let settled = match context.rehearsal(&$api) {
            Some(rehearsal) => {
                let $name = &rehearsal;
                $crate::service::settled($act.await)
            }
            None => None,
        };
        match settled {
            Some(settled) => settled,
            None => {
                let $name = context;
                $act.await
            }
        }
    }};
}

pub(super) use act;
