//! What tests are given to work with.

pub(crate) mod postgres;
