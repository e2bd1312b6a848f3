//! What travels: request and response bodies and the catalogue of problems, shared by server and client.
//!
//! Bodies are checked for shape here and turned into `domain` types; whether they make sense is the domain's question.
//! Requests refuse unknown members; answers may grow.

pub mod call;
pub mod decision;
pub mod directory;
pub mod entry;
pub mod explanation;
pub mod inbox;
pub mod page;
pub mod policy;
pub mod problem;
pub mod proposal;
pub mod review;
pub mod text;
pub mod visibility;

pub use text::Time;

/// A body that clients send: unknown members are refused.
macro_rules! request {
    ($($(#[$meta:meta])* pub struct $name:ident { $($fields:tt)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($fields)* }
    )*};
}

/// A body that the server answers with.
macro_rules! answer {
    ($($(#[$meta:meta])* pub struct $name:ident { $($fields:tt)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
        pub struct $name { $($fields)* }
    )*};
}
use {answer, request};

/// The media type of problem bodies (RFC 9457).
pub const PROBLEM_JSON: &str = "application/problem+json";
/// The media type under which ciphertext travels.
pub const AGE_MEDIA_TYPE: &str = "application/vnd.age";
/// The media type of bytes that are added to an upload (tus 1.0).
pub const UPLOAD_MEDIA_TYPE: &str = "application/offset+octet-stream";
