//! Policies, verified: two policy officers' signatures up to the pinned partner card, over the very text, and never going back.
//!
//! The exchange says which version is in force; that it is one that the partner's officers signed, and no older than what was seen
//! here, this machine finds out itself. Texts are read with the code that the exchange decides with.

use super::{
    Client, ClientError, Result,
    pages::Pages,
    preview::{ChangeCounter, Sums, in_milliseconds},
    verify::{check_valid, invalid},
};
use crate::{
    domain::{
        id::{PartnerCode, Sha256},
        member::PartnerRole,
        policy::{PolicyOwner, PolicyStatus},
    },
    policy::{GUARDRAILS, Guardrails, PartnerRules, PolicyError},
    sealing::{
        canonical,
        statement::{PolicyApproval, PolicyStatement, Signed, Statement, StatementError, verify_signed},
    },
    wire::policy::{
        ApprovePolicy, PolicySignature, PolicyVersion, Preview, PreviewSummary, PreviewedChange, ProposePolicy,
    },
};
use jiff::Timestamp;

/// The next version of an owner's policies before it is signed, and the versions that there are.
pub(super) struct ProposedText {
    pub(super) statement: PolicyStatement,
    pub(super) versions: Vec<PolicyVersion>,
}

/// A version as it is listed, and whether it verified.
#[derive(Debug)]
pub struct ListedPolicy {
    pub policy: PolicyVersion,
    pub verified: Result<()>,
}

impl Client {
    /// What waits for a second policy officer or for its time, as far as the caller may know of it: of the caller's own nation, and the
    /// guardrails. Each verified as far as it is signed.
    pub async fn list_waiting_policies(&self) -> Result<Vec<ListedPolicy>> {
        let own = PolicyOwner::Partner(self.member_id().await?.partner().clone());
        let mut listed = Vec::new();
        for owner in [PolicyOwner::Guardrails, own] {
            for policy in self.api().policy_versions(&owner).await? {
                if matches!(policy.status, PolicyStatus::Proposed | PolicyStatus::Scheduled) {
                    let verified = self.check_version(&policy).await.map(drop);
                    listed.push(ListedPolicy { policy, verified });
                }
            }
        }
        Ok(listed)
    }

    /// What is in force of every owner, each verified.
    pub async fn list_policies(&self) -> Result<Vec<ListedPolicy>> {
        let mut listed = Vec::new();
        for policy in self.api().policies().await? {
            let verified = self.check_in_force(&policy).await;
            listed.push(ListedPolicy { policy, verified });
        }
        Ok(listed)
    }

    /// The version of an owner that is in force, with its text, verified.
    pub async fn policy(&self, owner: &PolicyOwner) -> Result<PolicyVersion> {
        self.policy_in_force(owner).await?.ok_or_else(|| {
            let what = format!("no policies of `{owner}` are in force");
            ClientError::usage(what, "without a policy the partner releases nothing and reads nothing")
        })
    }

    /// The same; none for an owner that has no policies.
    pub async fn policy_in_force(&self, owner: &PolicyOwner) -> Result<Option<PolicyVersion>> {
        let policy = match self.api().policy(owner).await {
            Err(error) if error.is_not_found() => return Ok(None),
            policy => policy?,
        };
        if policy.owner != *owner || policy.text.is_none() {
            return Err(invalid("the exchange answered with other policies than were asked for"));
        }
        self.check_in_force(&policy).await?;
        Ok(Some(policy))
    }

    /// The versions of an owner that wait for a second officer or for their time, as far as the caller may know of them, each verified.
    pub async fn waiting_policies(&self, owner: &PolicyOwner) -> Result<Vec<PolicyVersion>> {
        let mut waiting = self.api().policy_versions(owner).await?;
        waiting.retain(|policy| matches!(policy.status, PolicyStatus::Proposed | PolicyStatus::Scheduled));
        for policy in &waiting {
            self.check_version(policy).await?;
        }
        Ok(waiting)
    }

    /// Any version of an owner that the caller may know of, its signatures verified as far as it has any.
    pub async fn policy_version(&self, owner: &PolicyOwner, number: u32) -> Result<PolicyVersion> {
        let policy = self.api().policy_version(owner, number).await?;
        if policy.owner != *owner || policy.version != number || policy.text.is_none() {
            return Err(invalid("the exchange answered with other policies than were asked for"));
        }
        self.check_version(&policy).await?;
        Ok(policy)
    }

    /// Checks a text with the code that decides, then proposes it as the next version. It takes effect at `active_at`, or as soon
    /// as it is approved.
    pub async fn propose_policy(
        &self,
        owner: &PolicyOwner,
        place: &str,
        text: &str,
        active_at: Option<Timestamp>,
    ) -> Result<PolicyVersion> {
        let planned = self.plan_policy(owner, place, text, active_at).await?;
        let statement = self.signed(&planned.statement).await?;
        self.api().propose_policy(owner, &ProposePolicy { text: text.to_owned(), statement }).await
    }

    /// The statement that would propose a text as the next version.
    pub(super) async fn plan_policy(
        &self,
        owner: &PolicyOwner,
        place: &str,
        text: &str,
        active_at: Option<Timestamp>,
    ) -> Result<ProposedText> {
        check_text(owner, place, text)
            .map_err(|error| ClientError::usage(error.to_string(), "nothing was proposed"))?;
        let versions = self.api().policy_versions(owner).await?;
        let approved = |policy: &&PolicyVersion| policy.approved.is_some() && policy.status != PolicyStatus::Withdrawn;
        let follows = match versions.iter().filter(approved).max_by_key(|policy| policy.version) {
            Some(policy) => Some(match self.check_version(policy).await {
                Ok(statement) => statement,
                // A signer's key card was revoked as stolen since: the next version takes its place, and follows what was signed.
                Err(ClientError::NotSigned(_) | ClientError::Unverified { .. }) => {
                    let proposed =
                        policy.proposed.as_ref().ok_or_else(|| invalid("nobody signed the newest version"))?;
                    let signed: Signed<PolicyStatement> = verify_signed(&proposed.statement)?;
                    if signed.statement.owner != *owner || signed.statement.version != policy.version {
                        return Err(invalid("the newest version is signed as another one"));
                    }
                    signed.payload_sha256
                }
                Err(error) => return Err(error),
            }),
            None => None,
        };
        let statement = PolicyStatement {
            owner: owner.clone(),
            version: versions.iter().map(|policy| policy.version).max().unwrap_or(0) + 1,
            text_sha256: Sha256::of(text.as_bytes()),
            active_at: in_milliseconds(active_at.unwrap_or_else(|| self.now())),
            follows,
        };
        Ok(ProposedText { statement, versions })
    }

    /// What a version would change, and the sum of it.
    pub async fn preview_policy(&self, policy: &PolicyVersion) -> Result<(Vec<PreviewedChange>, PreviewSummary)> {
        self.preview_policy_keeping(policy, usize::MAX, &mut |_| {}).await
    }

    /// The same, keeping the first changes alone, for there may be millions; `looked_at` hears after each question how many
    /// proposals were looked at so far.
    pub async fn preview_policy_keeping(
        &self,
        policy: &PolicyVersion,
        most: usize,
        looked_at: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(Vec<PreviewedChange>, PreviewSummary)> {
        let policy_sha256 = self.check_version(policy).await?;
        let (mut changes, mut adding, mut considered) = (Vec::new(), ChangeCounter::default(), 0);
        let (mut cursor, mut pages) = (None, Pages::default());
        loop {
            let Preview { considered: more, items, needs_call_key: _, next } =
                self.api().preview(&policy.owner, policy.version, cursor).await?;
            adding.add(&items);
            let room = most - changes.len();
            changes.extend(items.into_iter().take(room));
            considered += u64::from(more);
            looked_at(considered);
            cursor = pages.follow(next)?;
            if cursor.is_none() {
                break;
            }
        }
        let summary = summary(policy, policy_sha256, considered, adding, in_milliseconds(self.now()));
        Ok((changes, summary))
    }

    /// Approves a version that another policy officer proposed, after verifying who did and that its text can be used. Signs for
    /// the summary of what it would change.
    pub async fn approve_policy(&self, policy: &PolicyVersion, summary: &PreviewSummary) -> Result<PolicyVersion> {
        let (owner, number) = (&policy.owner, policy.version);
        let policy_sha256 = self.check_version(policy).await?;
        let text = policy.text.as_deref().ok_or_else(|| invalid("the version came without its text"))?;
        check_text(owner, &owner.to_string(), text).map_err(|error| {
            ClientError::usage(error.to_string(), "nothing was approved; ask for a version that can be used")
        })?;
        if summary.policy_sha256 != policy_sha256 {
            return Err(ClientError::usage("the preview is of another version", "look at this version first"));
        }
        let preview = canonical::to_vec(summary).map_err(StatementError::from)?;
        let preview = String::from_utf8(preview).map_err(|_| invalid("canonical JSON is text"))?;
        let preview_sha256 = Some(Sha256::of(preview.as_bytes()));
        let approval = PolicyApproval { owner: owner.clone(), version: number, policy_sha256, preview_sha256 };
        let approval = self.signed(&approval).await?;
        self.api().approve_policy(owner, number, &ApprovePolicy { approval, preview: Some(preview) }).await
    }

    /// A version that is in force: both signatures, and that it does not go back on one that was in force before.
    async fn check_in_force(&self, policy: &PolicyVersion) -> Result<()> {
        if policy.status != PolicyStatus::InForce {
            return Err(invalid("the exchange shows a version as in force that is not"));
        }
        let statement = self.check_version(policy).await?;
        if policy.version > 0 && policy.approved.is_none() {
            return Err(invalid(format!(
                "version {} of the policies of `{}` has one signature only",
                policy.version, policy.owner
            )));
        }
        self.home().see_policy(&policy.owner, policy.version, statement)
    }

    /// A version's statement, its text if it came with it, and the signatures it has. Returns the digest of the statement.
    async fn check_version(&self, policy: &PolicyVersion) -> Result<Sha256> {
        let PolicyVersion { owner, version, text_sha256, .. } = policy;
        if policy.text.as_ref().is_some_and(|text| Sha256::of(text.as_bytes()) != *text_sha256) {
            return Err(invalid(format!(
                "the text of version {version} of the policies of `{owner}` is not the one that was signed"
            )));
        }
        let built_in = Sha256::of(GUARDRAILS.as_bytes());
        if *version == 0 && *owner == PolicyOwner::Guardrails && *text_sha256 == built_in {
            return Ok(built_in);
        }
        let partner = self.policies_writer(owner).await?;
        let Some(proposed) = &policy.proposed else {
            return Err(invalid(format!("nobody signed version {version} of the policies of `{owner}`")));
        };
        let proposer = &proposed.member;
        let signed: Signed<PolicyStatement> = verify_signed(&proposed.statement)?;
        let says = &signed.statement;
        if says.owner != *owner || says.version != *version || says.text_sha256 != *text_sha256 {
            return Err(invalid(format!(
                "what `{proposer}` signed is not version {version} of the policies of `{owner}`"
            )));
        }
        if policy.active_at.is_none_or(|at| at.0 != says.active_at) {
            return Err(invalid("the exchange shows another time than was signed for"));
        }
        self.check_policy_officer(&signed, proposed, &partner).await?;
        if let Some(approved) = &policy.approved {
            let approver = &approved.member;
            let approval: Signed<PolicyApproval> = verify_signed(&approved.statement)?;
            let says = &approval.statement;
            if says.owner != *owner || says.version != *version || says.policy_sha256 != signed.payload_sha256 {
                return Err(invalid(format!(
                    "what `{approver}` approved is not version {version} of the policies of `{owner}`"
                )));
            }
            if policy.preview.as_ref().map(|preview| Sha256::of(preview.as_bytes())) != says.preview_sha256 {
                return Err(invalid(format!("the preview that is shown is not the one that `{approver}` signed for")));
            }
            if approver == proposer || approval.signer_spki == signed.signer_spki {
                return Err(invalid(format!(
                    "`{proposer}` alone signed version {version} of the policies of `{owner}`"
                )));
            }
            self.check_policy_officer(&approval, approved, &partner).await?;
        }
        Ok(signed.payload_sha256)
    }

    /// That a member signed whom their registrar vouched for as a policy officer of the partner when they did.
    async fn check_policy_officer<T: Statement>(
        &self,
        signed: &Signed<T>,
        signature: &PolicySignature,
        partner: &PartnerCode,
    ) -> Result<()> {
        let PolicySignature { member, signed_at, .. } = signature;
        check_valid(signed, member, signed_at.0)?;
        if member.partner() == partner {
            let (key, role) = (&signed.signer_spki, PartnerRole::PolicyOfficer);
            for read_again in [false, true] {
                let card =
                    if read_again { self.fetch_member(member).await? } else { self.issued_member(member).await? };
                if self.signed_as(&card, key, role, signed_at.0).await? {
                    return Ok(());
                }
            }
        }
        Err(invalid(format!("`{member}` signed, but was no policy officer of `{partner}` with that key")))
    }

    /// The partner whose policy officers write an owner's policies.
    pub(super) async fn policies_writer(&self, owner: &PolicyOwner) -> Result<PartnerCode> {
        match owner {
            PolicyOwner::Partner(code) => Ok(code.clone()),
            PolicyOwner::Guardrails => self.host().await,
        }
    }
}

fn summary(
    policy: &PolicyVersion,
    policy_sha256: Sha256,
    considered: u64,
    changes: ChangeCounter,
    now: Timestamp,
) -> PreviewSummary {
    let Sums { gains, losses, admits, keys_needed, fetched_before } = changes.sums();
    PreviewSummary {
        owner: policy.owner.clone(),
        version: policy.version,
        policy_sha256,
        made_at: now.into(),
        considered,
        gains,
        losses,
        admits,
        keys_needed,
        fetched_before,
    }
}

/// Reads a text as the engine will.
pub fn check_text(owner: &PolicyOwner, place: &str, text: &str) -> Result<(), PolicyError> {
    match owner {
        PolicyOwner::Guardrails => Guardrails::parse(place, text).map(drop),
        PolicyOwner::Partner(code) => PartnerRules::parse(place, code, text).map(drop),
    }
}
