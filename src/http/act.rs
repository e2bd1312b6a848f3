//! How a handler does an act.

/// Does an act, or a read that leaves an entry. While others write or wait to, it is rehearsed first, so that one that is refused takes no
/// turn from them. On a server where nobody writes it costs nothing.
macro_rules! act {
    ($api:expr, $asked:expr, |$context:ident| $act:expr) => {{
        let asked = &$asked;
        let settled = match asked.rehearsal(&$api) {
            Some(rehearsal) => {
                let $context = &rehearsal;
                $crate::service::settled($act.await)
            }
            None => None,
        };
        match settled {
            Some(settled) => settled,
            None => {
                let $context = asked;
                $act.await
            }
        }
    }};
}

pub(super) use act;
