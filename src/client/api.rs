//! The routes of the exchange, one method each, as they are. What they answer is the exchange's word, nothing more; code that
//! acts on keys, statements or content goes through the verified operations of [`Client`](super::Client) instead.

mod explanation;
mod extensions;
mod inbox;
mod log;
mod panel;
mod parties;
mod partners;

use super::{
    ClientError, Result,
    named::NamesUsed,
    pages::Pages,
    preview::PreviewedAct,
    progress::ProgressListener,
    transport::{Tagged, Transport, Upload},
    witness::Witness,
};
use crate::{
    domain::{
        id::{CallId, DocumentId, MemberId, PartnerCode, ProgramId, ProposalId, ReviewId, Slug, VaultId, WrappedKeyId},
        label::Label,
        member::CallRole,
        policy::PolicyOwner,
        proposal::Sort,
    },
    wire::{
        call::{
            Amended, Call, DraftCall, EditCall, GrantRoles, Progress, PublishCall, Reason, RoleHolder, StatedRoles,
        },
        decision::{Decision, Letter, SendLetter, SignDecision},
        directory::{CreateProgram, Me, Member, Program, PublishKeyCard, PublishedKeyCard},
        page::{MAX_PAGE, Page},
        policy::{ApprovePolicy, PolicyVersion, Preview, ProposePolicy},
        proposal::{
            AddKeys, Count, CreateProposal, Document, Filter, LabelPreview, MissingKey, NewVault, Proposal, SignLabel,
            SignManifest, SignedLabel, SignedManifest, SurplusKey, Vault,
        },
        review::{
            Assign, Assigned, Declaration, DeclareConflict, LiftConflict, RankingLine, Review, SendRanking,
            SubmitReview,
        },
    },
};
use bytes::Bytes;
use http::Method;
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeSet, fmt::Display, sync::Arc};

/// Which page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paging {
    /// `next` of the page before.
    pub cursor: Option<String>,
    pub limit: Option<u32>,
}

/// The routes.
#[derive(Debug, Clone)]
pub struct ApiClient {
    transport: Transport,
    witness: Witness,
    named: Arc<NamesUsed>,
}

const NOTHING: Option<&()> = None;

impl ApiClient {
    pub(super) fn new(transport: Transport, witness: Witness) -> Self {
        Self { transport, witness, named: Arc::default() }
    }

    pub(super) fn witness(&self) -> &Witness {
        &self.witness
    }

    /// By what the person named proposals and calls.
    pub(super) fn named(&self) -> &NamesUsed {
        &self.named
    }

    /// The connection, for what no method here does.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    // the directory

    /// Who the exchange takes the caller for.
    pub async fn me(&self) -> Result<Me> {
        self.read("/v1/me").await
    }

    pub async fn members(&self, partner: Option<&PartnerCode>, paging: &Paging) -> Result<Page<Member>> {
        self.page("/v1/members", &[("partner", partner.map(ToString::to_string))], paging).await
    }

    /// Every member, of one partner or of all, page after page.
    pub async fn all_members(&self, partner: Option<&PartnerCode>) -> Result<Vec<Member>> {
        self.all("/v1/members", &[("partner", partner.map(ToString::to_string))]).await
    }

    pub async fn member(&self, id: &MemberId) -> Result<Member> {
        self.read(&format!("/v1/members/{id}")).await
    }

    /// Every key card of a member, the newest first, page after page.
    pub async fn key_cards(&self, id: &MemberId) -> Result<Vec<PublishedKeyCard>> {
        self.all(&format!("/v1/members/{id}/key-cards"), &[]).await
    }

    pub async fn publish_key_card(&self, id: &MemberId, body: &PublishKeyCard) -> Result<Member> {
        self.write(Method::PUT, &format!("/v1/members/{id}/key-card"), body).await
    }

    // policies

    /// What is in force, without texts.
    pub async fn policies(&self) -> Result<Vec<PolicyVersion>> {
        self.all("/v1/policies", &[]).await
    }

    pub async fn policy(&self, owner: &PolicyOwner) -> Result<PolicyVersion> {
        self.read(&format!("/v1/policies/{owner}")).await
    }

    /// Every version of an owner that the caller may know of, without texts.
    pub async fn policy_versions(&self, owner: &PolicyOwner) -> Result<Vec<PolicyVersion>> {
        self.all(&format!("/v1/policies/{owner}/versions"), &[]).await
    }

    pub async fn policy_version(&self, owner: &PolicyOwner, number: u32) -> Result<PolicyVersion> {
        self.read(&format!("/v1/policies/{owner}/versions/{number}")).await
    }

    /// What a version would change, one question's worth from `cursor` on.
    pub async fn preview(&self, owner: &PolicyOwner, number: u32, cursor: Option<String>) -> Result<Preview> {
        let query: Vec<_> = cursor.into_iter().map(|cursor| ("cursor", cursor)).collect();
        let path = format!("/v1/policies/{owner}/versions/{number}/preview");
        self.transport.get(&path, &query).await.map(|tagged| tagged.body)
    }

    /// What another key card of a member, or none, would change, one question's worth from `cursor` on.
    pub async fn preview_member(&self, act: &PreviewedAct, cursor: Option<String>) -> Result<Preview> {
        let (member, mut query) = match act {
            PreviewedAct::KeyCardRevoked { member } => (member, vec![("revoked", "true".to_owned())]),
            PreviewedAct::KeyCard { member, organisation, roles } => {
                let organisation = organisation.iter().map(|name| ("organisation", name.clone()));
                (member, organisation.chain(roles.iter().map(|roles| ("roles", listed(roles)))).collect())
            }
            _ => return Err(ClientError::usage("this is not a change of a key card", "say what the card would be")),
        };
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        self.transport.get(&format!("/v1/members/{member}/preview"), &query).await.map(|tagged| tagged.body)
    }

    pub async fn propose_policy(&self, owner: &PolicyOwner, body: &ProposePolicy) -> Result<PolicyVersion> {
        self.write(Method::POST, &format!("/v1/policies/{owner}/versions"), body).await
    }

    pub async fn approve_policy(
        &self,
        owner: &PolicyOwner,
        number: u32,
        body: &ApprovePolicy,
    ) -> Result<PolicyVersion> {
        self.write(Method::POST, &format!("/v1/policies/{owner}/versions/{number}/approve"), body).await
    }

    pub async fn withdraw_policy(&self, owner: &PolicyOwner, number: u32) -> Result<PolicyVersion> {
        let path = format!("/v1/policies/{owner}/versions/{number}/withdraw");
        self.transport.send(Method::POST, &path, NOTHING, None).await.map(|tagged| tagged.body)
    }

    /// Fetches the visibility manifest of a partner, piece by piece; an error once it is longer than `max` bytes.
    pub async fn visibility<F>(&self, partner: &PartnerCode, max: u64, take: impl FnMut(Bytes) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        self.transport.download(&format!("/v1/partners/{partner}/visibility"), max, take).await
    }

    // programs and calls

    pub async fn programs(&self, paging: &Paging) -> Result<Page<Program>> {
        self.page("/v1/programs", &[], paging).await
    }

    pub async fn create_program(&self, body: &CreateProgram) -> Result<Program> {
        self.write(Method::POST, "/v1/programs", body).await
    }

    pub async fn program(&self, id: ProgramId) -> Result<Program> {
        self.read(&format!("/v1/programs/{id}")).await
    }

    pub async fn calls(&self, program: Option<ProgramId>, paging: &Paging) -> Result<Page<Call>> {
        self.page("/v1/calls", &[("program", program.map(|id| id.to_string()))], paging).await
    }

    /// Every call that the caller may know of, page after page.
    pub async fn all_calls(&self) -> Result<Vec<Call>> {
        self.all("/v1/calls", &[("program", None)]).await
    }

    pub async fn draft_call(&self, body: &DraftCall) -> Result<Tagged<Call>> {
        // Named in the address, too, since a long text is not read before policy was asked.
        let path = format!("/v1/calls?program={}", body.program);
        self.transport.send(Method::POST, &path, Some(body), None).await
    }

    pub async fn call(&self, id: CallId) -> Result<Tagged<Call>> {
        self.transport.get(&format!("/v1/calls/{id}"), &[]).await
    }

    pub async fn edit_call(&self, id: CallId, etag: &str, body: &EditCall) -> Result<Tagged<Call>> {
        self.transport.send(Method::PUT, &format!("/v1/calls/{id}"), Some(body), Some(etag)).await
    }

    pub async fn publish_call(&self, id: CallId, etag: &str, body: &PublishCall) -> Result<Tagged<Call>> {
        self.transport.send(Method::POST, &format!("/v1/calls/{id}/publish"), Some(body), Some(etag)).await
    }

    pub async fn amend_call(&self, id: CallId, etag: &str, body: &PublishCall) -> Result<Tagged<Amended>> {
        self.transport.send(Method::POST, &format!("/v1/calls/{id}/amend"), Some(body), Some(etag)).await
    }

    pub async fn reopen_call(&self, id: CallId, reason: &str) -> Result<Call> {
        self.write(Method::POST, &format!("/v1/calls/{id}/reopen"), &because(reason)).await
    }

    pub async fn close_call(&self, id: CallId) -> Result<Call> {
        self.act(Method::POST, &format!("/v1/calls/{id}/close")).await
    }

    pub async fn cancel_call(&self, id: CallId, reason: &str) -> Result<Call> {
        self.write(Method::POST, &format!("/v1/calls/{id}/cancel"), &because(reason)).await
    }

    pub async fn roles(&self, id: CallId) -> Result<Vec<RoleHolder>> {
        self.all(&format!("/v1/calls/{id}/roles"), &[]).await
    }

    pub async fn role_statements(&self, id: CallId) -> Result<Vec<StatedRoles>> {
        self.all(&format!("/v1/calls/{id}/role-statements"), &[]).await
    }

    pub async fn grant_roles(&self, id: CallId, member: &MemberId, body: &GrantRoles) -> Result<RoleHolder> {
        self.write(Method::PUT, &format!("/v1/calls/{id}/roles/{member}"), body).await
    }

    /// What other roles of a member would change, one question's worth from `cursor` on.
    pub async fn preview_roles(
        &self,
        id: CallId,
        member: &MemberId,
        roles: &BTreeSet<CallRole>,
        cursor: Option<String>,
    ) -> Result<Preview> {
        let mut query = vec![("roles", listed(roles))];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        self.transport.get(&format!("/v1/calls/{id}/roles/{member}/preview"), &query).await.map(|tagged| tagged.body)
    }

    pub async fn call_progress(&self, id: CallId) -> Result<Progress> {
        self.read(&format!("/v1/calls/{id}/progress")).await
    }

    pub async fn call_vault(&self, id: CallId) -> Result<Vault> {
        self.read(&format!("/v1/calls/{id}/vault")).await
    }

    /// The officers who lack a key to the call's vault.
    pub async fn missing_call_keys(&self, id: CallId) -> Result<Vec<MissingKey>> {
        self.all(&format!("/v1/calls/{id}/missing-keys"), &[]).await
    }

    /// Assigns reviewers, all or none; why which line was refused is in the `faults` of the problem or the dry run.
    pub async fn assign(&self, id: CallId, body: &Assign) -> Result<Assigned> {
        self.write(Method::POST, &format!("/v1/calls/{id}/assignments"), body).await
    }

    // proposals

    pub async fn proposals(&self, filter: &Filter, sort: Sort, paging: &Paging) -> Result<Page<Proposal>> {
        let mut query = filter.query().to_vec();
        query.push(("sort", Some(sort.to_string())));
        let page: Page<Proposal> = self.page("/v1/proposals", &query, paging).await?;
        self.witness.proposals(&page.items)?;
        self.named.check_all(&page.items)?;
        Ok(page)
    }

    /// How many proposals there are that the member may see.
    pub async fn count_proposals(&self, filter: &Filter) -> Result<Count> {
        let query: Vec<_> = filter.query().into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        self.transport.get("/v1/proposals/count", &query).await.map(|tagged| tagged.body)
    }

    /// Every proposal that the caller may know of, page after page.
    pub async fn all_proposals(&self, call: Option<CallId>) -> Result<Vec<Proposal>> {
        let all: Vec<Proposal> = self.all("/v1/proposals", &[("call", call.map(|id| id.to_string()))]).await?;
        self.witness.proposals(&all)?;
        self.named.check_all(&all)?;
        Ok(all)
    }

    pub async fn create_proposal(&self, body: &CreateProposal) -> Result<Proposal> {
        // Named in the address, too, since many keys are not read before policy was asked.
        let path = format!("/v1/proposals?call={}", body.call);
        self.witness.proposal(self.write(Method::POST, &path, body).await?)
    }

    pub async fn proposal(&self, id: ProposalId) -> Result<Proposal> {
        let shown = self.witness.asked(id, self.read(&of(id, "")).await)?;
        self.named.check_one(&shown)?;
        Ok(shown)
    }

    pub(super) async fn is_shown(&self, id: ProposalId) -> bool {
        !self.read::<Proposal>(&of(id, "")).await.is_err_and(|error| error.is_not_found())
    }

    pub async fn withdraw_proposal(&self, id: ProposalId) -> Result<Proposal> {
        self.witness.proposal(self.act(Method::POST, &of(id, "/withdraw")).await?)
    }

    pub async fn reinstate_proposal(&self, id: ProposalId) -> Result<Proposal> {
        self.witness.reinstated(self.act(Method::POST, &of(id, "/reinstate")).await?)
    }

    pub async fn vaults(&self, id: ProposalId) -> Result<Vec<Vault>> {
        self.all(&of(id, "/vaults"), &[]).await
    }

    pub async fn create_staff_vault(&self, id: ProposalId, body: &NewVault) -> Result<()> {
        self.done(Method::POST, &of(id, "/vaults/staff"), Some(body)).await
    }

    pub async fn create_deliberation_vault(&self, id: ProposalId, body: &NewVault) -> Result<()> {
        self.done(Method::POST, &of(id, "/vaults/deliberation"), Some(body)).await
    }

    pub async fn missing_keys(&self, id: ProposalId) -> Result<Vec<MissingKey>> {
        self.all(&of(id, "/missing-keys"), &[]).await
    }

    pub async fn add_keys(&self, vault: VaultId, body: &AddKeys) -> Result<()> {
        self.done(Method::POST, &format!("/v1/vaults/{vault}/keys"), Some(body)).await
    }

    pub async fn surplus_keys(&self, id: ProposalId) -> Result<Vec<SurplusKey>> {
        self.all(&of(id, "/surplus-keys"), &[]).await
    }

    pub async fn remove_key(&self, vault: VaultId, holder: &MemberId) -> Result<()> {
        self.done(Method::DELETE, &format!("/v1/vaults/{vault}/keys/{holder}"), NOTHING).await
    }

    /// Discards a wrapped key of the caller's own.
    pub async fn discard_key(&self, vault: VaultId, key: WrappedKeyId) -> Result<()> {
        self.done(Method::DELETE, &format!("/v1/vaults/{vault}/own-keys/{key}"), NOTHING).await
    }

    pub async fn documents(&self, id: ProposalId) -> Result<Vec<Document>> {
        self.all(&of(id, "/documents"), &[]).await
    }

    /// Sends a sealed document.
    pub async fn put_document(
        &self,
        id: ProposalId,
        slot: &Slug,
        upload: &Upload<'_>,
        progress: &Arc<dyn ProgressListener>,
    ) -> Result<Document> {
        self.transport.upload(&of(id, &format!("/documents/{slot}")), upload, progress).await
    }

    pub async fn remove_document(&self, id: ProposalId, slot: &Slug) -> Result<()> {
        self.done(Method::DELETE, &of(id, &format!("/documents/{slot}")), NOTHING).await
    }

    /// Fetches a document's ciphertext, piece by piece; an error once it is longer than `size`.
    pub async fn ciphertext<F>(
        &self,
        id: ProposalId,
        document: DocumentId,
        size: u64,
        take: impl FnMut(Bytes) -> F,
    ) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        self.transport.download(&of(id, &format!("/ciphertexts/{document}")), size, take).await
    }

    pub async fn manifests(&self, id: ProposalId) -> Result<Vec<SignedManifest>> {
        self.all(&of(id, "/manifests"), &[]).await
    }

    pub async fn sign_manifest(&self, id: ProposalId, body: &SignManifest) -> Result<Proposal> {
        self.witness.proposal(self.write(Method::POST, &of(id, "/manifests"), body).await?)
    }

    pub async fn labels(&self, id: ProposalId) -> Result<Vec<SignedLabel>> {
        self.all(&of(id, "/labels"), &[]).await
    }

    pub async fn sign_label(&self, id: ProposalId, body: &SignLabel) -> Result<Proposal> {
        self.witness.proposal(self.write(Method::POST, &of(id, "/labels"), body).await?)
    }

    pub async fn preview_label(&self, id: ProposalId, label: Option<&Label>) -> Result<LabelPreview> {
        let query =
            label.map(|label| [("releasable_to", listed(&label.releasable_to)), ("caveats", listed(&label.caveats))]);
        let query: Vec<_> = query.into_iter().flatten().collect();
        self.transport.get(&of(id, "/labels/preview"), &query).await.map(|tagged| tagged.body)
    }

    // review and decision

    pub async fn declare(&self, id: ProposalId, body: &DeclareConflict) -> Result<()> {
        self.done(Method::PUT, &of(id, "/declaration"), Some(body)).await
    }

    pub async fn lift_declaration(&self, id: ProposalId, member: &MemberId, body: &LiftConflict) -> Result<()> {
        self.done(Method::POST, &of(id, &format!("/declarations/{member}/lift")), Some(body)).await
    }

    pub async fn declarations(&self, id: ProposalId) -> Result<Vec<Declaration>> {
        self.all(&of(id, "/declarations"), &[]).await
    }

    pub async fn unassign(&self, id: ProposalId, reviewer: &MemberId) -> Result<()> {
        self.done(Method::DELETE, &of(id, &format!("/assignments/{reviewer}")), NOTHING).await
    }

    pub async fn preview_unassignment(&self, id: ProposalId, reviewer: &MemberId) -> Result<Preview> {
        self.read(&of(id, &format!("/assignments/{reviewer}/preview"))).await
    }

    pub async fn reviews(&self, id: ProposalId) -> Result<Vec<Review>> {
        self.witness.reviews(id, self.all(&of(id, "/reviews"), &[]).await?)
    }

    pub async fn submit_review(&self, id: ProposalId, body: &SubmitReview) -> Result<Review> {
        self.witness.review(self.write(Method::POST, &of(id, "/reviews"), body).await?)
    }

    pub async fn review(&self, id: ReviewId) -> Result<Review> {
        self.read(&format!("/v1/reviews/{id}")).await
    }

    pub async fn reopen_review(&self, id: ReviewId, reason: &str) -> Result<()> {
        self.done(Method::POST, &format!("/v1/reviews/{id}/reopen"), Some(&because(reason))).await
    }

    pub async fn reinstate_review(&self, id: ReviewId, reason: &str) -> Result<()> {
        self.done(Method::POST, &format!("/v1/reviews/{id}/reinstate"), Some(&because(reason))).await
    }

    /// The line of the ranking about a proposal that stands, sealed.
    pub async fn ranking_line(&self, id: ProposalId) -> Result<RankingLine> {
        self.read(&of(id, "/ranking")).await
    }

    pub async fn send_ranking(&self, id: ProposalId, body: &SendRanking) -> Result<RankingLine> {
        self.write(Method::PUT, &of(id, "/ranking"), body).await
    }

    pub async fn withdraw_ranking(&self, id: ProposalId) -> Result<()> {
        self.done(Method::DELETE, &of(id, "/ranking"), NOTHING).await
    }

    /// The proposed or final decision, if there is one for the caller.
    pub async fn decision(&self, id: ProposalId) -> Result<Option<Tagged<Decision>>> {
        let shown: Option<Tagged<Decision>> = self.transport.get_optional(&of(id, "/decision")).await?;
        self.witness.decision(id, shown.as_ref().map(|shown| &shown.body))?;
        Ok(shown)
    }

    pub async fn sign_decision(
        &self,
        id: ProposalId,
        body: &SignDecision,
        etag: Option<&str>,
    ) -> Result<Tagged<Decision>> {
        let signed: Tagged<Decision> = self.transport.send(Method::PUT, &of(id, "/decision"), Some(body), etag).await?;
        self.witness.decision(id, Some(&signed.body))?;
        Ok(signed)
    }

    pub async fn unsign_decision(&self, id: ProposalId, etag: Option<&str>) -> Result<()> {
        self.transport.send_only(Method::DELETE, &of(id, "/decision"), NOTHING, etag).await
    }

    pub async fn letters(&self, id: ProposalId) -> Result<Vec<Letter>> {
        self.all(&of(id, "/letters"), &[]).await
    }

    pub async fn send_letter(&self, id: ProposalId, body: &SendLetter) -> Result<Letter> {
        self.write(Method::POST, &of(id, "/letters"), body).await
    }

    pub async fn letter(&self, id: ProposalId, letter: DocumentId) -> Result<Letter> {
        self.read(&of(id, &format!("/letters/{letter}"))).await
    }

    pub async fn withdraw_letter(&self, id: ProposalId, letter: DocumentId) -> Result<()> {
        self.done(Method::DELETE, &of(id, &format!("/letters/{letter}")), NOTHING).await
    }

    /// The description of the API.
    pub async fn openapi(&self) -> Result<serde_json::Value> {
        self.read("/openapi.json").await
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.transport.get(path, &[]).await.map(|tagged| tagged.body)
    }

    async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T> {
        self.transport.send(method, path, Some(body), None).await.map(|tagged| tagged.body)
    }

    async fn act<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T> {
        self.transport.send(method, path, NOTHING, None).await.map(|tagged| tagged.body)
    }

    async fn done(&self, method: Method, path: &str, body: Option<&(impl Serialize + Sync)>) -> Result<()> {
        self.transport.send_only(method, path, body, None).await
    }

    async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        filter: &[(&'static str, Option<String>)],
        paging: &Paging,
    ) -> Result<Page<T>> {
        let limit = paging.limit.map(|limit| limit.to_string());
        let turn = [("cursor", paging.cursor.clone()), ("limit", limit)];
        let query = filter.iter().cloned().chain(turn).filter_map(|(name, value)| Some((name, value?)));
        let query: Vec<(&str, String)> = query.collect();
        self.transport.get(path, &query).await.map(|tagged| tagged.body)
    }

    async fn all<T: DeserializeOwned>(&self, path: &str, filter: &[(&'static str, Option<String>)]) -> Result<Vec<T>> {
        let mut items = Vec::new();
        // Without a filter many lists come whole and take no limit; the others have one of their own.
        let limit = (!filter.is_empty()).then_some(MAX_PAGE);
        let (mut paging, mut pages) = (Paging { cursor: None, limit }, Pages::default());
        loop {
            let page = self.page(path, filter, &paging).await?;
            items.extend(page.items);
            paging.cursor = pages.follow(page.next)?;
            if paging.cursor.is_none() {
                return Ok(items);
            }
        }
    }
}

fn of(id: ProposalId, rest: &str) -> String {
    format!("/v1/proposals/{id}{rest}")
}

fn listed<T: Display>(words: &BTreeSet<T>) -> String {
    words.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn because(reason: &str) -> Reason {
    Reason { reason: reason.to_owned() }
}
