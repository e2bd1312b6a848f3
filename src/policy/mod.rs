//! May they? The only place that answers it, and the only importer of `cedar_policy`.
//!
//! Authorization is data plus one function. The data are Cedar policies: the platform's guardrails and the version in
//! force of each partner, which its policy officers signed. The function is [`Engine::authorize`]; nothing else in the program compares roles, parties or conflicts to
//! decide what a caller may do. It answers permitted, with a [`Permit`] that storage asks for before it writes; denied, when
//! the caller may know that the thing exists; or hidden, when they may not.
//!
//! A proposal is visible when the guardrails allow it, *and* every owning partner's release policies do, *and* the caller's
//! own partner's reader policies do. Whatever cannot be decided, for whatever reason, is not permitted.
//!
//! Server and client decide with this same code: the server from what it stores, a client from the signed policies and statements
//! that it verified itself.
//!
//! This module must never read storage, the clock or the network while it decides: all it knows are the [`facts`] it is given.

mod action;
mod bounds;
mod caches;
mod change;
pub mod counts;
mod engine;
mod entities;
pub mod facts;
mod fault;
mod holds;
mod lint;
mod meaning;
mod outcome;
pub mod predicate;
mod residual;
mod rules;
mod small_map;
mod source;
mod stated;
mod steps;
pub mod trial;
mod vocabulary;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;

pub use action::{Action, Extra, ResourceKind};
pub use change::FactChange;
pub use engine::{Engine, Guardrails};
pub use facts::Resource;
pub use holds::HeldRoles;
pub use outcome::{
    Authorization, AuthorizationStep, AuthorizationTrace, Permit, PolicyName, Reasons, ResourceId, Side, Standing,
    Verdict, VerdictReason,
};
pub use predicate::Predicate;
pub use residual::Untranslatable;
pub use rules::PartnerRules;
pub use source::{GUARDRAILS, PolicyError};
pub use stated::{StatedPolicy, stated};
pub use vocabulary::SCHEMA;
