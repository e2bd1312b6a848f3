//! Finds whether some proposal under a call concerns a member, hidden or not: for rules that would be hollow if they looked at the visible
//! part only. One statement each, which ends at the first such proposal and reads none as a whole: others wait meanwhile. No answer may
//! reveal which proposal it is.

use super::{Sql, SqlBuilder, StoreError, Tx, search::MAX_KEPT};
use crate::{
    domain::id::{CallId, MemberId},
    policy::predicate::{Atom, Flag, Predicate, Set, Value},
};

/// The relation of a proposal to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// The member has declared a conflict.
    Conflict,
    /// The member is or was party to it: who began it, joined it or has left it.
    Party,
    /// A label leaves the member's nation out.
    LeftOut,
}

/// Whether some proposal under a call has this to do with a member, and satisfies a condition that speaks of the proposal alone.
pub async fn is_tied(
    tx: &mut Tx,
    call: CallId,
    member: &MemberId,
    tie: Tie,
    holds: &Predicate,
) -> Result<bool, StoreError> {
    let mut builder = SqlBuilder::new(tx.dialect(), member);
    let under = builder.bind(&call);
    // By the member's own rows on either engine, with and without statistics: an expression is what no index of calls is for, so a call's
    // other proposals are not looked at.
    let own = |rows: &str| format!("p.call_id || '' = {under} AND p.proposal_id IN ({rows})");
    let tied = match tie {
        Tie::Conflict => {
            let me = builder.me();
            own(&format!("SELECT s.proposal_id FROM declarations s WHERE s.member = {me} AND s.conflict"))
        }
        Tie::Party => {
            let me = builder.me();
            own(&format!(
                "SELECT b.proposal_id FROM proposals b WHERE b.created_by = {me} AND b.call_id = {under} \
                 UNION SELECT s.proposal_id FROM proposal_members s WHERE s.member = {me} \
                 UNION SELECT i.proposal_id FROM party_invitations i WHERE i.member = {me} AND i.accepted_at IS NOT NULL"
            ))
        }
        Tie::LeftOut => {
            let nation = Value::Written(member.partner().to_string());
            let admits = Predicate::from(Atom::Contains(Set::ReleasableTo, nation));
            let leaves_out = Predicate::all([Atom::Flag(Flag::Labelled).into(), admits.negated()]);
            format!("p.call_id = {under} AND {}", builder.condition(&leaves_out)?)
        }
    };
    let holds = builder.condition(holds)?;
    let sql = format!("SELECT EXISTS (SELECT 1 FROM proposals p WHERE {tied} AND {holds}) AS is_tied");
    let sql = if sql.len() <= MAX_KEPT { Sql::built(sql) } else { Sql::once(sql) };
    tx.fetch_one(sql, builder.args()).await?.bool("is_tied")
}
