//! How many proposals an amendment of their call voids.
//!
//! A count looks at every proposal under the call, so it is made before the amendment's turn, and once more if something was done in between
//! that the number can follow from.

use super::{
    Result,
    foreseen::Foresight,
    lists::{self, ListCondition},
    state::CallState,
    unit::{Act, Reads},
};
use crate::{
    domain::{
        call::{AmendmentEffect, Phase},
        entry::EntryKind,
    },
    policy::{
        Predicate,
        facts::MemberFacts,
        predicate::{Atom, RowFact},
    },
    storage::visible,
    wire::proposal::Filter,
};

/// Kinds of entries about a call that leave every proposal signed, in force and seen as it was.
const LEAVES_THE_NUMBER: &[EntryKind] = &[
    EntryKind::ProposalCreated,
    EntryKind::DocumentFetched,
    EntryKind::ReviewFetched,
    EntryKind::RankingFetched,
    EntryKind::LetterFetched,
    EntryKind::KeyFetched,
    EntryKind::KeyWrapped,
    EntryKind::KeyRemoved,
    EntryKind::VaultCreated,
];

/// A count, and the facts that it follows from.
#[derive(Debug)]
pub(super) struct CountedVoids {
    pub(super) voided: u32,
    revision: u64,
    phase: Phase,
    me: MemberFacts,
    foresight: Foresight,
}

impl CountedVoids {
    /// Counts what the amendment would void now.
    pub(super) async fn of<T: Reads>(act: &mut Act<'_, T>, call: &CallState, effect: AmendmentEffect) -> Result<Self> {
        Ok(Self {
            voided: count(act, call, effect).await?,
            revision: call.row.revision,
            phase: call.phase,
            me: act.me.clone(),
            foresight: Foresight::of(act).await?,
        })
    }

    /// Whether it is the number still.
    async fn holds<T: Reads>(&self, act: &mut Act<'_, T>, call: &CallState) -> Result<bool> {
        if self.revision != call.row.revision || self.phase != call.phase || self.me != act.me {
            return Ok(false);
        }
        let changed = self.foresight.changed(act, call.row.id, LEAVES_THE_NUMBER).await?;
        Ok(changed.is_some_and(|changed| changed.is_empty()))
    }
}

/// The number that an amendment voids, in its turn: the earlier count; none if it must count again. After the last look it counts within
/// the turn, so that steady acts under a call cannot keep it from being amended; where the
/// policies are too long for the database to count by, it takes the number of the last look.
pub(super) async fn in_turn<T: Reads>(
    act: &mut Act<'_, T>,
    call: &CallState,
    effect: AmendmentEffect,
    counted: Option<&CountedVoids>,
    is_last: bool,
) -> Result<Option<u32>> {
    match counted {
        _ if effect == AmendmentEffect::Keeps => Ok(Some(0)),
        Some(counted) if counted.holds(act, call).await? => Ok(Some(counted.voided)),
        _ if is_last => {
            let list = list(act, call).await?;
            let found = visible::count(&mut act.tx, &list.query(&act.me.id)).await?;
            let found = found.map(|found| u32::try_from(found).unwrap_or(u32::MAX));
            Ok(found.or(counted.map(|counted| counted.voided)))
        }
        _ => Ok(None),
    }
}

/// How many proposals that the caller may see have every party's signature, and would need it again.
async fn count<T: Reads>(act: &mut Act<'_, T>, call: &CallState, effect: AmendmentEffect) -> Result<u32> {
    if effect == AmendmentEffect::Keeps {
        return Ok(0);
    }
    let list = list(act, call).await?;
    let found = list.count(act.exchange, &mut act.tx, &act.me.id).await?;
    Ok(u32::try_from(found).unwrap_or(u32::MAX))
}

async fn list<T: Reads>(act: &mut Act<'_, T>, call: &CallState) -> Result<ListCondition> {
    let filter = Filter { call: Some(call.row.id), ..Filter::default() };
    let baseline = call.row.baseline.max(1);
    let signed = [RowFact::CompleteSince(baseline), RowFact::CommittedSince(baseline)]
        .map(|row| Predicate::from(Atom::Row(row)));
    let in_force = Predicate::from(Atom::Row(RowFact::Withdrawn)).negated();
    let handed_in = Predicate::all([in_force, Predicate::any(signed)]);
    lists::ask(act.exchange, &act.policies, &mut act.tx, &act.me, &filter, handed_in, act.now).await
}
