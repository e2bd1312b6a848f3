//! What waits for a member by an office in their nation, and their own key card.

use super::FoundItems;
use crate::{
    domain::{
        expiry::{FIRST_DAYS, horizon},
        inbox::ItemKind,
        policy::{self as rules, GUARDRAILS_NOTICE, PolicyOwner},
    },
    policy::{Action, Resource},
    service::{Result, unit::View},
    storage::{
        inbox as store, members,
        policies::{self, approve_action},
    },
    wire::inbox::InboxItem,
};

impl FoundItems {
    pub(super) async fn add_of_office(&mut self, view: &mut View<'_>) -> Result<()> {
        let (me, now) = (view.me.id.clone(), view.now);
        let partner = me.partner();
        for owner in [PolicyOwner::Partner(partner.clone()), PolicyOwner::Guardrails] {
            let is_written_here = owner.written_by(&view.exchange.host) == partner;
            if !is_written_here || !view.may(approve_action(&owner), Resource::Partner(partner)) {
                continue;
            }
            let standing = policies::standing(&mut view.tx, &owner, now).await?;
            let waiting = standing.iter().find(|version| rules::check_approval(&owner, version, &me, now).is_ok());
            if let Some(version) = waiting {
                let notice = owner == PolicyOwner::Guardrails;
                let due = if notice { version.active_at - GUARDRAILS_NOTICE } else { version.active_at };
                self.items.push(InboxItem {
                    version: Some(version.number),
                    owner: Some(owner),
                    due_at: Some(due.into()).filter(|_| due > now),
                    ..InboxItem::new(ItemKind::ApprovePolicy)
                });
            }
        }
        let runs_out = horizon(now, FIRST_DAYS);
        let own = members::find(&mut view.tx, &me).await?;
        if let Some(card) = own.filter(|card| card.valid_until <= runs_out) {
            let due_at = Some(card.valid_until.into());
            self.items.push(InboxItem { due_at, ..InboxItem::new(ItemKind::CardExpiring) });
        }
        if view.may(Action::PublishKeyCard, Resource::Partner(partner))
            && let Some(expiring) = store::expiring_cards(&mut view.tx, partner, now, runs_out).await?
        {
            self.items.push(InboxItem {
                members: Some(u32::try_from(expiring.cards).unwrap_or(u32::MAX)),
                due_at: Some(expiring.first_at.into()),
                ..InboxItem::new(ItemKind::RenewMembers)
            });
        }
        Ok(())
    }
}
