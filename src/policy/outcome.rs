//! What a decision says: the outcome, the permit that proves it, and every side's verdict with the policies that made it.
//!
//! Only this module's parent can make a [`Permit`]; storage asks for one and so cannot be reached past a decision.

use super::{Action, ResourceKind};
use crate::domain::id::{CallId, MemberId, PartnerCode, ProgramId, ProposalId};
use std::{fmt, sync::Arc};

/// Whether a member may do something.
#[derive(Debug)]
#[must_use]
pub enum Authorization {
    /// They may.
    Permitted(Permit),
    /// They may know that the thing exists, but not do this.
    Denied(Reasons),
    /// They may not know that the thing exists: answer exactly as if it did not, and keep the reasons to yourself.
    Hidden(Reasons),
}

impl Authorization {
    /// The outcome without what comes with it.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self {
            Self::Permitted(_) => Standing::Permitted,
            Self::Denied(_) => Standing::Denied,
            Self::Hidden(_) => Standing::Hidden,
        }
    }

    /// The permit, if permitted.
    #[must_use]
    pub fn permit(self) -> Option<Permit> {
        match self {
            Self::Permitted(permit) => Some(permit),
            Self::Denied(_) | Self::Hidden(_) => None,
        }
    }
}

/// One of the three outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    Permitted,
    Denied,
    Hidden,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Permitted => "permitted",
            Self::Denied => "denied",
            Self::Hidden => "hidden",
        })
    }
}

/// What a permit is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ResourceId {
    Exchange,
    Partner(PartnerCode),
    Program(ProgramId),
    Call(CallId),
    Proposal(ProposalId),
}

impl ResourceId {
    /// The kind of thing it names.
    #[must_use]
    pub fn kind(&self) -> ResourceKind {
        match self {
            Self::Exchange => ResourceKind::Exchange,
            Self::Partner(_) => ResourceKind::Partner,
            Self::Program(_) => ResourceKind::Program,
            Self::Call(_) => ResourceKind::Call,
            Self::Proposal(_) => ResourceKind::Proposal,
        }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange => f.write_str("exchange"),
            Self::Partner(code) => code.fmt(f),
            Self::Program(id) => id.fmt(f),
            Self::Call(id) => id.fmt(f),
            Self::Proposal(id) => id.fmt(f),
        }
    }
}

/// Proof that one action on one thing was permitted to one member. It cannot be made, changed or copied outside policy.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    pub(super) action: Action,
    pub(super) principal: MemberId,
    pub(super) resource: ResourceId,
    pub(super) subject: Option<MemberId>,
    pub(super) owner: Option<PartnerCode>,
}

impl Permit {
    /// What was permitted.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// To whom.
    #[must_use]
    pub fn principal(&self) -> &MemberId {
        &self.principal
    }

    /// On what.
    #[must_use]
    pub fn resource(&self) -> &ResourceId {
        &self.resource
    }

    /// The member it may be done to, for actions that have one.
    #[must_use]
    pub fn subject(&self) -> Option<&MemberId> {
        self.subject.as_ref()
    }

    /// The party whose restricted slots it is about, for the action that has one.
    #[must_use]
    pub fn owner(&self) -> Option<&PartnerCode> {
        self.owner.as_ref()
    }

    /// Whether it is for this action on this thing.
    #[must_use]
    pub fn covers(&self, action: Action, resource: &ResourceId) -> bool {
        self.action == action && self.resource == *resource
    }

    /// Whether it is for one of these actions on the exchange as a whole.
    #[must_use]
    pub fn covers_exchange(&self, actions: &[Action]) -> bool {
        self.resource == ResourceId::Exchange && actions.contains(&self.action)
    }

    /// Whether it is for one of these actions on the key cards of this partner.
    #[must_use]
    pub fn covers_partner(&self, actions: &[Action], partner: &PartnerCode) -> bool {
        matches!(&self.resource, ResourceId::Partner(code) if code == partner) && actions.contains(&self.action)
    }

    /// Whether it is for one of these actions on this program.
    #[must_use]
    pub fn covers_program(&self, actions: &[Action], program: ProgramId) -> bool {
        self.resource == ResourceId::Program(program) && actions.contains(&self.action)
    }

    /// Whether it is for one of these actions on this call.
    #[must_use]
    pub fn covers_call(&self, actions: &[Action], call: CallId) -> bool {
        self.resource == ResourceId::Call(call) && actions.contains(&self.action)
    }

    /// Whether it is for one of these actions on this proposal.
    #[must_use]
    pub fn covers_proposal(&self, actions: &[Action], proposal: ProposalId) -> bool {
        self.resource == ResourceId::Proposal(proposal) && actions.contains(&self.action)
    }

    /// A permit that nobody decided on, for unit tests of what asks for one.
    #[cfg(test)]
    pub fn for_test(action: Action, principal: MemberId, resource: ResourceId) -> Self {
        Self { action, principal, resource, subject: None, owner: None }
    }
}

/// Whose policies were asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The platform's.
    Guardrails,
    /// Those of a partner that owns the proposal.
    Release(PartnerCode),
    /// Those of the caller's own partner.
    Reader(PartnerCode),
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guardrails => f.write_str("guardrails"),
            Self::Release(code) => write!(f, "release of {code}"),
            Self::Reader(code) => write!(f, "reader of {code}"),
        }
    }
}

/// A policy's file and its `@id`, shown as `ISR/owners`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyName {
    /// `guardrails` or the partner's code.
    pub file: Arc<str>,
    pub id: Arc<str>,
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.file, self.id)
    }
}

/// One reason of a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictReason {
    pub side: Side,
    /// The policy that decided; none when no policy applied.
    pub policy: Option<PolicyName>,
    /// The policy's own `@reason`, or what is missing.
    pub sentence: Arc<str>,
    /// The policy as it was written.
    pub text: Option<Arc<str>>,
}

impl fmt::Display for VerdictReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.side, self.sentence)?;
        self.policy.as_ref().map_or(Ok(()), |policy| write!(f, " ({policy})"))
    }
}

/// Why something is not permitted: every reason of every side that refused, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reasons(pub(super) Vec<VerdictReason>);

impl Reasons {
    /// The reasons, guardrails first.
    pub fn iter(&self) -> impl Iterator<Item = &VerdictReason> {
        self.0.iter()
    }

    /// The first sentence, for a problem's detail.
    #[must_use]
    pub fn first(&self) -> &str {
        self.0.first().map_or("nothing permits it", |reason| &reason.sentence)
    }
}

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, reason) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            reason.fmt(f)?;
        }
        Ok(())
    }
}

/// What one side said to one action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub side: Side,
    pub permitted: bool,
    /// The permits that let it through, or the forbids, errors or lack of any permit that did not.
    pub reasons: Vec<VerdictReason>,
}

/// One action put to its sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationStep {
    pub action: Action,
    /// Guardrails first; then, for three-sided actions, each owner and the reader's partner.
    pub verdicts: Vec<Verdict>,
}

impl AuthorizationStep {
    /// Whether every side let it through.
    #[must_use]
    pub fn permitted(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.permitted)
    }
}

/// An authorization with every step that led to it, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationTrace {
    pub standing: Standing,
    /// Whether the caller may know of the thing, then the action itself if that was asked.
    pub steps: Vec<AuthorizationStep>,
}

impl AuthorizationTrace {
    /// The reasons of the last step: why it is permitted, or why not.
    #[must_use]
    pub fn reasons(&self) -> Reasons {
        let permitted = self.standing == Standing::Permitted;
        let last = self.steps.last().map_or(&[][..], |step| &step.verdicts);
        Reasons(last.iter().filter(|v| v.permitted == permitted).flat_map(|v| v.reasons.iter().cloned()).collect())
    }
}
