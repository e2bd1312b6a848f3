//! Keeps what lists are filtered and planned by: written with the act that changes it, or made anew from the rows it follows
//! from. Nothing here is a phase or a status.

use super::super::{Db, Sql, StoreError, WriteTx, args};
use crate::{
    domain::id::{CallId, PartnerCode, ProposalId},
    policy::facts::folded,
};
use std::collections::BTreeSet;

/// Fills in what only this program can: organisations as policies compare them. Few at a time, and nothing when all is there.
pub async fn fold_organisations(db: &Db) -> Result<(), StoreError> {
    loop {
        let mut tx = db.write().await?;
        let sql =
            "SELECT member, organisation FROM members WHERE organisation_folded IS NULL ORDER BY member LIMIT 500";
        let found = tx.fetch_all(sql, args![]).await?;
        if found.is_empty() {
            return Ok(());
        }
        for row in found {
            let sql = "UPDATE members SET organisation_folded = $2 WHERE member = $1";
            tx.execute(sql, args![row.text("member")?, folded(&row.text("organisation")?)]).await?;
        }
        tx.commit().await?;
    }
}

/// Counts a proposal that was begun.
pub(in crate::storage) async fn tally(tx: &mut WriteTx, call: CallId, parties_key: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO proposal_tallies (call_id, parties_key, proposals) \
         VALUES ($1, $2, 1), ($1, '', 1), ('', $2, 1), ('', '', 1) \
         ON CONFLICT (call_id, parties_key) DO UPDATE SET proposals = proposal_tallies.proposals + 1",
        args![call, parties_key],
    )
    .await?;
    Ok(())
}

/// Notes what lists compute a status from: the newest text of the call under which the proposal has a version.
pub(in crate::storage) async fn note_versions(tx: &mut WriteTx, id: ProposalId) -> Result<(), StoreError> {
    tx.execute(Sql::built(format!("{VERSIONS} WHERE proposal_id = $1")), args![id]).await?;
    Ok(())
}

const VERSIONS: &str = "UPDATE proposals SET committed_under = COALESCE((SELECT MAX(m.call_version) FROM manifests m \
     WHERE m.proposal_id = proposals.proposal_id AND m.committed_at IS NOT NULL), 0), \
     complete_under = COALESCE((SELECT MAX(m.call_version) FROM manifests m \
     WHERE m.proposal_id = proposals.proposal_id AND m.complete_at IS NOT NULL), 0)";

/// The parties as one text.
pub(in crate::storage) fn parties_key<'a>(parties: impl IntoIterator<Item = &'a PartnerCode>) -> String {
    let sorted: BTreeSet<&PartnerCode> = parties.into_iter().collect();
    sorted.into_iter().fold(" ".to_owned(), |key, code| key + code.as_str() + " ")
}

/// Makes everything that lists are planned by anew, for rows that did not come through this program.
pub async fn reindex(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.write().await?;
    tx.take_your_time().await?;
    let joined = tx.dialect().joined;
    let key = format!(
        "UPDATE proposals SET parties_key = COALESCE((SELECT ' ' || {joined}(s.partner, ' ' ORDER BY s.partner) || ' ' FROM \
         (SELECT DISTINCT m.partner FROM proposal_members m WHERE m.proposal_id = proposals.proposal_id) s), '')"
    );
    let releasable = format!(
        "UPDATE proposals SET releasable_key = COALESCE((SELECT ' ' || {joined}(s.partner, ' ' ORDER BY s.partner) || ' ' FROM \
         label_partners s WHERE s.proposal_id = proposals.proposal_id), '')"
    );
    for sql in [
        Sql::built(key),
        Sql::built(releasable),
        VERSIONS.into(),
        "DELETE FROM proposal_tallies".into(),
        "INSERT INTO proposal_tallies (call_id, parties_key, proposals) \
         SELECT call_id, parties_key, COUNT(*) FROM proposals GROUP BY call_id, parties_key \
         UNION ALL SELECT call_id, '', COUNT(*) FROM proposals GROUP BY call_id \
         UNION ALL SELECT '', parties_key, COUNT(*) FROM proposals GROUP BY parties_key \
         UNION ALL SELECT '', '', COUNT(*) FROM proposals"
            .into(),
        "UPDATE members SET organisation_folded = NULL".into(),
    ] {
        tx.execute(sql, args![]).await?;
    }
    tx.commit().await?;
    fold_organisations(db).await
}
