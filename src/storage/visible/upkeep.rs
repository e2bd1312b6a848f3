//! Keeps the columns by which lists are filtered and planned: written with the act that changes them, or computed again from the rows they
//! follow from. Nothing here is a phase or a status.

use super::super::{Db, Row, Sql, StoreError, ToArg, WriteTx, args};
use crate::domain::{
    id::{CallId, PartnerCode, ProposalId},
    name::folded,
};
use std::collections::BTreeSet;

/// Writes what only this program can: organisations as policies compare them, where an earlier program wrote another form, or none. Few at
/// a time; writes nothing when all is right.
pub async fn fold_organisations(db: &Db) -> Result<(), StoreError> {
    const AT_ONCE: u32 = 500;
    let mut after = String::new();
    loop {
        let sql =
            "SELECT member, organisation, organisation_folded FROM members WHERE member > $1 ORDER BY member LIMIT $2";
        let found = db.read().await?.fetch_all(sql, args![after, AT_ONCE]).await?;
        let Some(last) = found.last() else { return fold_kept(db).await };
        after = last.text("member")?;
        let mut is_right = true;
        for row in &found {
            is_right &= row.opt_text("organisation_folded")? == Some(folded(&row.text("organisation")?));
        }
        if !is_right {
            fold(db, &found).await?;
        }
    }
}

/// Folds again where members worked at a deadline. Few have moved since one.
async fn fold_kept(db: &Db) -> Result<(), StoreError> {
    let sql = "SELECT DISTINCT deadline_organisation, deadline_organisation_folded FROM proposal_members \
               WHERE deadline_organisation_folded IS NOT NULL";
    let mut stale = Vec::new();
    for row in db.read().await?.fetch_all(sql, args![]).await? {
        let organisation = row.text("deadline_organisation")?;
        if row.text("deadline_organisation_folded")? != folded(&organisation) {
            stale.push(organisation);
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    let mut tx = db.write().await?;
    for organisation in stale {
        let sql = "UPDATE proposal_members SET deadline_organisation_folded = $2, employer_folded = $2 \
                   WHERE deadline_organisation_folded IS NOT NULL AND deadline_organisation = $1";
        tx.execute(sql, args![organisation, folded(&organisation)]).await?;
    }
    tx.commit().await
}

/// Folds the organisations of these members again, as they are by now.
async fn fold(db: &Db, found: &[Row]) -> Result<(), StoreError> {
    let mut tx = db.write().await?;
    for row in found {
        let member = row.text("member")?;
        let Some(row) = tx.fetch_optional("SELECT organisation FROM members WHERE member = $1", args![member]).await?
        else {
            continue;
        };
        let sql = "UPDATE members SET organisation_folded = $2 WHERE member = $1";
        let organisation = folded(&row.text("organisation")?);
        tx.execute(sql, args![member, organisation]).await?;
        note_employer(&mut tx, &member, &organisation).await?;
    }
    tx.commit().await
}

/// Notes where a member works as far as their proposals go, those aside for which it is kept where they did at the deadline.
pub(in crate::storage) async fn note_employer(
    tx: &mut WriteTx,
    member: &(impl ToArg + ?Sized),
    folded: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE proposal_members SET employer_folded = $2 \
               WHERE member = $1 AND deadline_organisation_folded IS NULL AND employer_folded <> $2";
    tx.execute(sql, args![member, folded]).await?;
    Ok(())
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

/// Computes again everything by which lists are planned and quotas are checked, for rows that did not come through this program.
pub async fn reindex(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.write().await?;
    tx.take_your_time().await?;
    let joined = tx.dialect().joined;
    let key = format!(
        "UPDATE proposals SET parties_key = COALESCE((SELECT ' ' || {joined}(s.partner, ' ' ORDER BY s.partner) || ' ' FROM \
         (SELECT m.partner FROM proposal_parties m WHERE m.proposal_id = proposals.proposal_id) s), '')"
    );
    let releasable = format!(
        "UPDATE proposals SET releasable_key = COALESCE((SELECT ' ' || {joined}(s.partner, ' ' ORDER BY s.partner) || ' ' FROM \
         label_partners s WHERE s.proposal_id = proposals.proposal_id), '')"
    );
    for sql in [
        "INSERT INTO proposal_parties (proposal_id, partner) SELECT DISTINCT m.proposal_id, m.partner FROM proposal_members m \
         WHERE NOT EXISTS (SELECT 1 FROM proposal_parties s WHERE s.proposal_id = m.proposal_id AND s.partner = m.partner)"
            .into(),
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
        "DELETE FROM partner_tallies".into(),
        "INSERT INTO partner_tallies (partner, document_bytes) \
         SELECT m.partner, SUM(d.size) FROM documents d JOIN members m ON m.member = d.uploaded_by GROUP BY m.partner"
            .into(),
        "UPDATE members SET organisation_folded = NULL".into(),
        "UPDATE proposal_members SET employer_folded = ''".into(),
        "UPDATE proposal_members SET deadline_organisation_folded = '' WHERE deadline_organisation_folded IS NOT NULL".into(),
    ] {
        tx.execute(sql, args![]).await?;
    }
    tx.commit().await?;
    fold_organisations(db).await
}
