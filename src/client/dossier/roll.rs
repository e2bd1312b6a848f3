//! Who had which role in the call at an instant, by the roll and what was signed since.

use super::{Dossier, DossierPart, cards::Vouchers, report::Ledger};
use crate::{
    client::{Result, participation::Roles, verify::invalid},
    domain::{
        id::{MemberId, Sha256},
        member::CallRole,
    },
    sealing::statement::{RoleStatement, RollStatement, Signed, verify_signed},
    wire::call::StatedRoles,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The roles of each member, from the instant on at which they were recorded.
#[derive(Default)]
pub(super) struct Roll(BTreeMap<MemberId, Vec<(Timestamp, BTreeSet<CallRole>)>>);

/// The chain of statements while it is followed.
struct Chain<'d> {
    dossier: &'d Dossier,
    vouchers: &'d Vouchers,
    roles: Roles,
    previous: Option<Sha256>,
    number: u32,
    last_at: Option<Timestamp>,
    roll: Roll,
}

impl Roll {
    /// None if nothing about roles is shown.
    pub(super) fn read(dossier: &Dossier, vouchers: &Vouchers, ledger: &mut Ledger) -> Option<Self> {
        if dossier.not_shown.contains(&DossierPart::Roles) {
            return None;
        }
        let mut chain = Chain {
            dossier,
            vouchers,
            roles: Roles::default(),
            previous: None,
            number: 0,
            last_at: None,
            roll: Self::default(),
        };
        if dossier.roles.is_empty() {
            ledger.require(dossier.code.as_str(), Err(invalid("nobody signed the roles in the call")));
        }
        for stated in &dossier.roles {
            let checked = chain.follow(stated);
            ledger.statement(DossierPart::Roles, dossier.code.as_str(), checked);
        }
        Some(chain.roll)
    }

    /// Whether the member had the role at the instant, or just before or after it.
    pub(super) fn had(&self, member: &MemberId, role: CallRole, at: Timestamp) -> bool {
        let changes = self.0.get(member).map(Vec::as_slice).unwrap_or_default();
        let later = changes.partition_point(|(from, _)| *from < at);
        let before = later.checked_sub(1).map(|before| &changes[before]);
        let at_once = changes[later..].iter().take_while(|(from, _)| *from == at);
        before.into_iter().chain(at_once).any(|(_, roles)| roles.contains(&role))
    }

    fn set(&mut self, member: &MemberId, at: Timestamp, roles: BTreeSet<CallRole>) {
        self.0.entry(member.clone()).or_default().push((at, roles));
    }
}

impl Chain<'_> {
    /// Goes on by a statement that follows from the one before. Whether its signature verifies is said then: if it does not, what the next
    /// officer signed on to it is judged by itself.
    fn follow(&mut self, stated: &StatedRoles) -> Result<()> {
        let (by, at, number) = (&stated.stated_by, stated.stated_at.0, self.number + 1);
        if stated.number != number || self.last_at.is_some_and(|last| at < last) {
            return Err(invalid(format!("statement {number} about roles is missing, or not in its place")));
        }
        if number == 1 {
            let signed: Signed<RollStatement> = verify_signed(&stated.statement)?;
            if signed.statement.call != self.dossier.call || *by.partner() != self.dossier.lead {
                return Err(invalid("the roll is of another call, or was not signed by its lead"));
            }
            for (member, roles) in &signed.statement.roles {
                self.roll.set(member, at, roles.clone());
            }
            self.roles = Roles::unsigned(signed.statement.roles.clone(), signed.statement.partners.clone());
            (self.previous, self.number, self.last_at) = (Some(signed.payload_sha256), number, Some(at));
            return self.vouchers.card(&signed, by, at).map(drop);
        }
        let signed: Signed<RoleStatement> = verify_signed(&stated.statement)?;
        let said = &signed.statement;
        if said.call != self.dossier.call || said.number != number || Some(said.previous) != self.previous {
            return Err(invalid(format!("statement {number} about roles does not follow from the one before")));
        }
        let may_say = self.roles.is_officer(by) || self.roles.lays_down(by, said);
        self.roles.apply(said);
        self.roll.set(&said.member, at, said.roles.clone());
        (self.previous, self.number, self.last_at) = (Some(signed.payload_sha256), number, Some(at));
        if !may_say {
            return Err(invalid(format!("`{by}` changed roles without being an officer of the call then")));
        }
        self.vouchers.card(&signed, by, at).map(drop)
    }
}
