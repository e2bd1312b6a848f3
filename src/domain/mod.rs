//! What is true: partners, members, programs, calls, proposals, reviews and decisions, and the rules between them.
//!
//! No I/O, no serde and no clock of its own: every rule that depends on time takes the instant as an argument.

pub mod ambient;
pub mod call;
pub mod decision;
pub mod entry;
pub mod expiry;
pub mod id;
pub mod inbox;
pub mod instant;
pub mod label;
pub mod member;
pub mod name;
pub mod phase;
pub mod policy;
pub mod proposal;
pub mod reference;
pub mod refusal;
pub mod reopening;
pub mod review;
pub mod score_total;
pub mod set_aside;
pub mod suspension;
pub mod text;
pub mod vault;

pub use refusal::{DailyQuota, Refusal};

/// Gives a fieldless enum one lower-case text per variant, in both directions.
macro_rules! worded {
    ($(#[$doc:meta])* $vis:vis enum $name:ident: $what:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every variant, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word for it in the API, the database and on the command line.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::id::IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err($crate::domain::id::IdError::new(text, concat!($what, $(" `", $text, "`",)*))),
                }
            }
        }
    };
}
use worded;
