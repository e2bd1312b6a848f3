//! Verifies that every member of a party joined it: they began the proposal, or accepted the invitation of a member who had joined.

use super::{Named, Verifier};
use crate::{
    domain::id::{MemberId, ProposalId},
    service::Result,
    storage::{
        StoreError,
        db::tables::{
            Column,
            ColumnKind::{Int, Text},
            Snapshot,
        },
    },
};
use std::collections::{BTreeSet, HashMap};

/// The schema from which on there are invitations.
const INVITING: i64 = 16;

const INVITATIONS: &[Column] =
    &[("proposal_id", Text), ("member", Text), ("number", Int), ("invited_by", Text), ("acceptance", Text)];

const MEMBERS: &[Column] = &[("proposal_id", Text), ("member", Text)];

/// The accepted invitations of each proposal, with inviter and member, also of members who have left since.
type Accepted = HashMap<String, Vec<(String, String)>>;

impl Verifier<'_> {
    /// Every member of a party is one by statements, which [`Verifier::signed`] verifies, that lead back to the one who began the proposal:
    /// its identifier says who that is.
    pub(super) async fn members(&mut self, snapshot: &mut Snapshot<'_>) -> Result<()> {
        let report = &mut self.report;
        if report.verified.state.schema < INVITING {
            return Ok(());
        }
        let mut accepted = Accepted::new();
        snapshot
            .each("party_invitations", &INVITATIONS[..3], INVITATIONS, |cells| {
                let row = Named { columns: INVITATIONS, cells: &cells };
                if row.cell("acceptance").is_some() {
                    let joined = (row.text("member").to_owned(), row.text("invited_by").to_owned());
                    accepted.entry(row.text("proposal_id").to_owned()).or_default().push(joined);
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        snapshot
            .each("proposal_members", MEMBERS, MEMBERS, |cells| {
                let row = Named { columns: MEMBERS, cells: &cells };
                let (proposal, member) = (row.text("proposal_id"), row.text("member"));
                let joined = accepted.get(proposal).map_or(&[][..], Vec::as_slice);
                if !is_led_back(proposal, member, joined) {
                    let fault =
                        "is on record in one of its parties, but no signed statement of theirs says that they joined";
                    report.found(format!("member {member} of proposal {proposal}"), fault);
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        Ok(())
    }
}

/// Whether a member began the proposal, or accepted the invitation of somebody of whom the same can be said.
fn is_led_back(proposal: &str, member: &str, accepted: &[(String, String)]) -> bool {
    let began = |member: &str| match (proposal.parse::<ProposalId>(), member.parse::<MemberId>()) {
        (Ok(proposal), Ok(member)) => proposal.is_of(&member),
        _ => false,
    };
    let (mut seen, mut next) = (BTreeSet::new(), vec![member]);
    while let Some(member) = next.pop() {
        if began(member) {
            return true;
        }
        if seen.insert(member) {
            next.extend(accepted.iter().filter(|(joined, _)| joined == member).map(|(_, by)| by.as_str()));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ambient::{SystemClock, SystemRng};

    #[test]
    fn invitations_in_a_circle_lead_back_to_nobody() {
        let began: MemberId = "ISR:avi".parse().unwrap();
        let proposal = ProposalId::new_of(&began, &SystemClock, &SystemRng).to_string();
        let joined = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(member, by)| ((*member).to_owned(), (*by).to_owned())).collect()
        };
        let chain =
            joined(&[("USA:bob", "ISR:avi"), ("USA:ann", "USA:bob"), ("KOR:soo", "KOR:min"), ("KOR:min", "KOR:soo")]);
        let led_back = |member| is_led_back(&proposal, member, &chain);
        assert_eq!(["ISR:avi", "USA:bob", "USA:ann"].map(led_back), [true; 3]);
        assert_eq!(["KOR:soo", "KOR:min", "ISR:tamar"].map(led_back), [false; 3]);
    }
}
