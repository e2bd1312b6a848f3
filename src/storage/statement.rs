//! A statement and the values for its placeholders, in the few types both engines share.
//!
//! Values never become part of the text. What is put together at run time goes through [`Sql::built`], so that the
//! places to look at are few.

use super::{blob_key::BlobKey, error::StoreError};
use crate::domain::{
    id::{
        CallId, DecisionId, DocumentId, MemberId, PartnerCode, ProgramId, ProposalId, ReviewId, Sha256, Slug, UploadId,
        VaultId, WrappedKeyId,
    },
    reference::CallCode,
};
use sqlx::{SqlSafeStr as _, SqlStr, postgres::PgArguments, sqlite::SqliteArguments};
use std::fmt::Display;

/// The text of a statement: a constant, or one that was put together.
#[derive(Debug, Clone)]
pub struct Sql {
    pub(super) text: SqlStr,
    /// Whether connections keep it prepared.
    pub(super) is_kept: bool,
}

impl Sql {
    /// A statement put together at run time, such as a page whose condition follows from a policy.
    ///
    /// INVARIANT: its pieces are constants of this program and `$n` placeholders; values travel as arguments only.
    #[must_use]
    pub fn built(text: String) -> Self {
        Self { text: sqlx::AssertSqlSafe(text).into_sql_str(), is_kept: true }
    }

    /// The same for a statement that will hardly come again: it takes no place among those kept prepared, and PostgreSQL plans it
    /// for its values instead of for any.
    #[must_use]
    pub fn once(text: String) -> Self {
        Self { is_kept: false, ..Self::built(text) }
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self { text: text.into_sql_str(), is_kept: true }
    }
}

/// A value for a placeholder; `None` is NULL of that type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    /// TEXT.
    Text(Option<String>),
    /// BIGINT.
    Int(Option<i64>),
    /// BOOLEAN.
    Bool(Option<bool>),
    /// BLOB or BYTEA.
    Bytes(Option<Vec<u8>>),
    /// Any number of texts behind one placeholder, which stands in [`Dialect::among`](super::db::Dialect).
    Texts(Vec<String>),
    /// A number past the range of BIGINT: the statement fails, nothing is written.
    OutOfRange,
}

impl Arg {
    /// Anything with a text, as TEXT.
    pub fn text(value: impl Display) -> Self {
        Self::Text(Some(value.to_string()))
    }

    /// Any number of things with a text, as one list of TEXT.
    pub fn texts(values: impl IntoIterator<Item = impl Display>) -> Self {
        Self::Texts(values.into_iter().map(|value| value.to_string()).collect())
    }

    /// Anything with a text, or NULL.
    pub fn opt_text(value: Option<impl Display>) -> Self {
        Self::Text(value.map(|value| value.to_string()))
    }
}

/// A value that [`args!`](args) takes.
pub trait ToArg {
    /// NULL of the type this becomes: PostgreSQL wants to know.
    const NULL: Arg;

    /// The value for the placeholder.
    fn to_arg(&self) -> Arg;
}

impl<T: ToArg + ?Sized> ToArg for &T {
    const NULL: Arg = T::NULL;

    fn to_arg(&self) -> Arg {
        (**self).to_arg()
    }
}

impl<T: ToArg> ToArg for Option<T> {
    const NULL: Arg = T::NULL;

    fn to_arg(&self) -> Arg {
        self.as_ref().map_or(T::NULL, ToArg::to_arg)
    }
}

impl ToArg for Arg {
    const NULL: Arg = Arg::Text(None);

    fn to_arg(&self) -> Arg {
        self.clone()
    }
}

macro_rules! to_arg {
    ($variant:ident: $($type:ty),* => |$value:ident| $convert:expr) => {$(
        impl ToArg for $type {
            const NULL: Arg = Arg::$variant(None);

            fn to_arg(&self) -> Arg {
                let $value = self;
                Arg::$variant(Some($convert))
            }
        }
    )*};
}

to_arg!(Text: str, PartnerCode, MemberId, Slug, Sha256, ProgramId, CallId, ProposalId, DocumentId, UploadId, VaultId,
    WrappedKeyId, ReviewId, DecisionId, BlobKey, CallCode => |value| value.to_string());
to_arg!(Text: String => |value| value.clone());
to_arg!(Int: i64 => |value| *value);
to_arg!(Int: i32, u32, u16, u8 => |value| i64::from(*value));
to_arg!(Int: jiff::Timestamp => |value| value.as_millisecond());
to_arg!(Bool: bool => |value| *value);
to_arg!(Bytes: [u8], bytes::Bytes => |value| value.to_vec());
to_arg!(Bytes: Vec<u8> => |value| value.clone());

impl ToArg for u64 {
    const NULL: Arg = Arg::Int(None);

    fn to_arg(&self) -> Arg {
        i64::try_from(*self).map_or(Arg::OutOfRange, |value| Arg::Int(Some(value)))
    }
}

/// The values of a statement, in the order of its placeholders: `args![proposal_id, version, now]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __storage_args {
    ($($value:expr),* $(,)?) => {
        ::std::vec::Vec::<$crate::storage::Arg>::from([$($crate::storage::ToArg::to_arg(&$value)),*])
    };
}
pub use crate::__storage_args as args;

macro_rules! bind {
    ($name:ident, $arguments:ty, |$texts:ident| $list:expr) => {
        pub(super) fn $name(args: Vec<Arg>) -> Result<$arguments, StoreError> {
            let mut bound = <$arguments>::default();
            for arg in args {
                match arg {
                    Arg::Text(value) => sqlx::Arguments::add(&mut bound, value),
                    Arg::Int(value) => sqlx::Arguments::add(&mut bound, value),
                    Arg::Bool(value) => sqlx::Arguments::add(&mut bound, value),
                    Arg::Bytes(value) => sqlx::Arguments::add(&mut bound, value),
                    Arg::Texts($texts) => sqlx::Arguments::add(&mut bound, $list),
                    Arg::OutOfRange => Err("a number is past the range of BIGINT".into()),
                }
                .map_err(StoreError::Statement)?;
            }
            Ok(bound)
        }
    };
}

bind!(sqlite_arguments, SqliteArguments, |texts| serde_json::Value::from(texts).to_string());
bind!(postgres_arguments, PgArguments, |texts| texts);

/// SQLite takes a missing argument for NULL, silently: a mistake of ours that a debug build must not let pass.
pub(super) fn check_arguments(sql: &str, args: &[Arg]) {
    if cfg!(debug_assertions) {
        let numbers = sql.split('$').skip(1).filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse::<usize>().ok()
        });
        assert_eq!(numbers.max().unwrap_or(0), args.len(), "placeholders and arguments of `{sql}`");
    }
}
