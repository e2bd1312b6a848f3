//! The world that the matrix is asked of: one call of Israel and the United States under review, with everybody who can be
//! somebody in it, and every kind of certificate that can be shown.

use super::requests::SPENT;
use crate::harness::world::{Raw, Store, TestWorld};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{
    client::{
        NoProgress,
        proposals::{NewProposal, Summary},
        reviews::ReviewBody,
    },
    dev_pki::{
        Authority, CertificateAndKey, DevPki, LeafProfile, PartnerSpec, Spec,
        cast::{
            AVI, BOB, CAROL, DANA, DemoNation, EITAN, FERN, FRANK, GAL, ISR, ISR_RELAY, JIWOO, KATE, KOR, LIOR, MAYA,
            MIA, NOA, OLIVIA, OMAR, ORI, OSCAR, PAZ, RHEA, SHIR, TAL, USA, YAEL,
        },
    },
    domain::{
        ambient::{Clock, SystemClock, SystemRng},
        decision::Outcome,
        id::{
            CallId, DocumentId, MemberId, PartnerCode, ProgramId, ProposalId, ReviewId, UploadId, VaultId, WrappedKeyId,
        },
        member::{CallRole, ConflictGround},
        vault::VaultKind,
    },
    storage::args,
    wire::{
        Time,
        call::{CallText, ExtendCall},
        directory::CreateProgram,
        proposal::ResumableUpload,
    },
};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;

/// The authorities of Israel and Korea have the same name. Paz works where a party member works.
const NATIONS: &[DemoNation] = &[
    DemoNation { cast: &[DANA, OLIVIA, OMAR, BOB, KATE, CAROL, RHEA, FRANK, FERN, OSCAR, MIA], ..USA },
    DemoNation {
        authority: KOR.authority,
        cast: &[NOA, AVI, GAL, TAL, MAYA, YAEL, EITAN, LIOR, SHIR, PAZ, ORI, ISR_RELAY],
        ..ISR
    },
    DemoNation { cast: &[JIWOO], ..KOR },
];

/// The roles of members in the call.
const PANEL: &[(&str, CallRole)] = &[
    ("USA:olivia", CallRole::Officer),
    ("USA:omar", CallRole::Officer),
    ("ISR:noa", CallRole::Officer),
    ("USA:carol", CallRole::Reviewer),
    ("USA:rhea", CallRole::Reviewer),
    ("ISR:tal", CallRole::Reviewer),
    ("ISR:maya", CallRole::Reviewer),
    ("ISR:yael", CallRole::Reviewer),
    ("USA:frank", CallRole::Decider),
    ("USA:fern", CallRole::Decider),
    ("ISR:eitan", CallRole::Decider),
    ("USA:oscar", CallRole::Observer),
];

/// What the requests name.
#[derive(Debug, Clone)]
pub(super) struct Ids {
    pub(super) program: ProgramId,
    pub(super) call: CallId,
    pub(super) call_vault: VaultId,
    /// An officer's own key to it.
    pub(super) call_key: WrappedKeyId,
    /// Under review, its decision signed by one funder of two.
    pub(super) open: ProposalId,
    /// Decided by both funders, with a letter; the same parties and panel.
    pub(super) decided: ProposalId,
    pub(super) panel_document: DocumentId,
    pub(super) israel_restricted: DocumentId,
    pub(super) us_restricted: DocumentId,
    pub(super) panel: VaultId,
    pub(super) israel_staff: VaultId,
    pub(super) parties: VaultId,
    pub(super) deliberation: VaultId,
    pub(super) review: ReviewId,
    pub(super) letter: DocumentId,
    /// About the same proposal, for the party of Israel alone.
    pub(super) israel_letter: DocumentId,
    /// Begun by Avi for the proposal under review, before its deadline.
    pub(super) upload: UploadId,
    /// In force, of the date for reviews.
    pub(super) review_extension: u32,
    /// In force, of the first proposal's deadline.
    pub(super) proposal_extension: u32,
    /// The published key card of a member of the United States.
    pub(super) published_card: String,
}

impl Ids {
    /// Names of things that do not exist.
    pub(super) fn made_up() -> Self {
        let (clock, rng) = (&SystemClock, &SystemRng);
        let (proposal, document) = (|| ProposalId::new(clock, rng), || DocumentId::new(clock, rng));
        let vault = || VaultId::new(clock, rng);
        Self {
            program: ProgramId::new(clock, rng),
            call: CallId::new(clock, rng),
            call_vault: vault(),
            call_key: WrappedKeyId::new(clock, rng),
            open: proposal(),
            decided: proposal(),
            panel_document: document(),
            israel_restricted: document(),
            us_restricted: document(),
            panel: vault(),
            israel_staff: vault(),
            parties: vault(),
            deliberation: vault(),
            review: ReviewId::new(clock, rng),
            letter: document(),
            israel_letter: document(),
            upload: UploadId::new(clock, rng),
            review_extension: 98,
            proposal_extension: 99,
            published_card: String::new(),
        }
    }

    /// The same but for everything that hangs on a proposal, which does not exist.
    pub(super) fn without_proposals(&self) -> Self {
        let Self { program, call, call_vault, call_key, review_extension, published_card, .. } = self.clone();
        Self { program, call, call_vault, call_key, review_extension, published_card, ..Self::made_up() }
    }

    /// The same but for the program and the call, which do not exist.
    pub(super) fn without_calls(&self) -> Self {
        let Self { program, call, call_vault, call_key, .. } = Self::made_up();
        Self { program, call, call_vault, call_key, ..self.clone() }
    }
}

/// The world and what is in it.
pub(super) struct Setting {
    pub(super) world: TestWorld,
    pub(super) ids: Ids,
    /// A proposal that nobody has a conflict with.
    pub(super) neutral: ProposalId,
}

impl Setting {
    pub(super) async fn build() -> Self {
        Self::build_on(Store::Sqlite).await.unwrap()
    }

    /// The same on either engine; none when there is no PostgreSQL on this machine.
    pub(super) async fn build_on(store: Store) -> Option<Self> {
        let world = TestWorld::start(NATIONS, store).await?;
        let start = world.clock.now();
        let drafter = world.client("ISR:drafter");
        let israel = "ISR".parse().unwrap();
        drafter.propose_policy(&israel, "ISR", "", None).await.unwrap();
        drafter.api().withdraw_policy(&israel, 2).await.unwrap();
        let day = |days: i64| start + SignedDuration::from_hours(24 * days);
        let dana = world.client("USA:dana");
        let partners = ["USA", "ISR"].map(|code| code.parse().unwrap()).into();
        let program = CreateProgram { name: "Joint research".into(), lead: "USA".parse().unwrap(), partners };
        let program = dana.api().create_program(&program).await.unwrap().id;
        let text = text(&json!({
            "opens_at": start, "deadline_at": day(60), "grace_seconds": 86_400, "reviews_due_at": day(100),
        }));
        let draft = dana.draft_call(program, &text).await.unwrap();
        let call = dana.publish_call(draft.id).await.unwrap().id;
        for (member, role) in PANEL {
            // Each nation's officer names its deciders.
            let officer = if *member == "ISR:eitan" { "ISR:noa" } else { "USA:dana" };
            world.client(officer).grant_roles(call, &id(member), &[*role].into()).await.unwrap();
        }

        world.clock.set(day(40));
        let open = hand_in(&world, call, ["ISR:avi", "USA:bob"]).await;
        let decided = hand_in(&world, call, ["ISR:avi", "USA:bob"]).await;
        let neutral = hand_in(&world, call, ["ISR:gal", "USA:kate"]).await;
        let upload = begin_upload(&world, open).await;
        dana.declare(open, None).await.unwrap();
        let extension = |until, proposal: Option<ProposalId>| ExtendCall {
            until: Time(until),
            reason: "an outage".into(),
            partner: None,
            reviews: proposal.is_none(),
            proposal,
            dry_run: false,
        };
        let extend = async |body: ExtendCall| dana.api().extend_call(call, &body).await.unwrap().number.unwrap();
        let proposal_extension = extend(extension(day(60) + SignedDuration::from_hours(1), Some(open))).await;
        let review_extension = extend(extension(day(101), None)).await;

        world.clock.set(day(63));
        let pairs = [open, decided].into_iter().flat_map(|proposal| {
            ["USA:carol", "ISR:tal", "ISR:maya", "ISR:yael"].map(|reviewer| (proposal, id(reviewer)))
        });
        let pairs: Vec<_> = pairs.chain([(neutral, id("USA:rhea"))]).collect();
        for proposal in [decided, neutral] {
            dana.declare(proposal, None).await.unwrap();
        }
        dana.assign(call, &pairs, false).await.unwrap();
        for proposal in [open, decided] {
            for member in ["USA:olivia", "ISR:yael"] {
                world.client(member).declare(proposal, Some(ConflictGround::Employment)).await.unwrap();
            }
            for member in ["ISR:noa", "USA:carol", "ISR:tal", "USA:frank", "ISR:eitan"] {
                world.client(member).declare(proposal, None).await.unwrap();
            }
        }
        let prepared = dana.prepare_panel(call).await.unwrap();
        assert!(prepared.wrapped.refused.is_empty() && prepared.skipped.is_empty(), "{prepared:?}");

        for member in ["ISR:shir", "ISR:ori"] {
            world.client("ISR:avi").invite(open, &id(member)).await.unwrap();
        }
        world.clock.set(day(80));
        let review = world.client("ISR:tal").submit_review(open, &assessment()).await.unwrap().id;
        let ranking = dana.plan_ranking(call).await.unwrap();
        let sent = dana.send_ranking(call, &ranking).await.unwrap();
        assert!(sent.failed.is_empty(), "{sent:?}");
        world.client("ISR:eitan").sign_decision(open, Outcome::Fund).await.unwrap();
        for decider in ["ISR:eitan", "USA:frank"] {
            world.client(decider).sign_decision(decided, Outcome::Decline).await.unwrap();
        }
        let letter = dana.send_letter(decided, "It is not funded.").await.unwrap().id;
        let israel_letter = one_for_israel(&world, letter).await;
        world.client("ISR:registrar").revoke_key_card(&id("ISR:lior"), false).await.unwrap();

        let documents = dana.api().documents(open).await.unwrap();
        let document = |slot: &str, party: Option<&str>| {
            let found = documents.iter().find(|document| {
                document.slot.as_str() == slot && document.party.as_ref().map(PartnerCode::as_str) == party
            });
            found.unwrap().id
        };
        let vaults = dana.api().vaults(open).await.unwrap();
        let vault = |kind: VaultKind, party: Option<&str>| {
            let found = vaults
                .iter()
                .find(|vault| vault.kind == kind && vault.party.as_ref().map(PartnerCode::as_str) == party);
            found.unwrap().id
        };
        let call_vault = dana.api().call_vault(call).await.unwrap();
        let ids = Ids {
            program,
            call,
            call_vault: call_vault.id,
            call_key: call_vault.keys[0].id,
            open,
            decided,
            panel_document: document("work-plan", None),
            israel_restricted: document("shareholders", Some("ISR")),
            us_restricted: document("shareholders", Some("USA")),
            panel: vault(VaultKind::Panel, None),
            israel_staff: vault(VaultKind::Staff, Some("ISR")),
            parties: vault(VaultKind::Parties, None),
            deliberation: vault(VaultKind::Deliberation, None),
            review,
            letter,
            israel_letter,
            upload,
            review_extension,
            proposal_extension,
            published_card: dana.api().member(&id("USA:mia")).await.unwrap().key_card,
        };
        Some(Self { world, ids, neutral })
    }

    /// The raw connection of a member.
    pub(super) fn member(&self, member: &str) -> Raw {
        self.world.raw(Some(self.world.credential(member)))
    }

    /// Everybody in the upper half of the matrix, with what they show: nobody of them is a member to the exchange.
    pub(super) async fn strangers(&self) -> Vec<(&'static str, Option<CertificateAndKey>)> {
        let (world, rng) = (&self.world, &SystemRng);
        let partner = |code: &str| &world.pki.partners[&code.parse().unwrap()].authority;
        let (israel, korea, host) = (partner("ISR"), partner("KOR"), partner("USA"));
        let avi = id("ISR:avi");
        let genuine = |authority: &Authority, leaf: &LeafProfile| authority.issue(leaf, rng).unwrap();
        let foreign = |name: (&str, &str)| {
            let now = world.clock.now();
            let partner = PartnerSpec::new("ISR", "Israel", "Asia/Jerusalem", name, "registrar", &["avi"]).unwrap();
            let day = SignedDuration::from_hours(24);
            let (valid_from, valid_until) = (now - day, now + day);
            let spec =
                Spec { valid_from, valid_until, server_names: vec!["localhost".into()], partners: vec![partner] };
            let pki = DevPki::generate(&spec, rng).unwrap();
            pki.partners[&"ISR".parse().unwrap()].members[&avi].clone()
        };
        let revoked = genuine(israel, &israel.member(&avi));
        self.revoke(israel, &revoked).await;
        vec![
            ("none", None),
            ("unknown-ca", Some(foreign(("Elsewhere Root CA", "Elsewhere")))),
            ("forged-ca", Some(foreign(KOR.authority))),
            ("namesake-ca", Some(genuine(korea, &korea.member(&avi)))),
            ("wrong-partner", Some(genuine(host, &host.member(&avi)))),
            ("revoked", Some(revoked)),
            ("expired", Some(israel.expired(&avi, world.clock.now(), rng).unwrap())),
            ("unnamed", Some(genuine(korea, &LeafProfile { uri: None, ..korea.member(&avi) }))),
            ("no-card", Some(genuine(israel, &israel.member(&id("ISR:nobody"))))),
            ("revoked-card", Some(world.credential("ISR:lior").clone())),
        ]
    }

    /// Everybody in the lower half: column and member.
    pub(super) fn members(&self) -> Vec<(&'static str, Raw)> {
        MEMBERS.iter().map(|(column, member)| (*column, self.member(member))).collect()
    }

    /// Publishes a revocation list that names the certificate, and sees that it is in force.
    async fn revoke(&self, authority: &Authority, credential: &CertificateAndKey) {
        let list = authority.crl(&[credential], 2).unwrap();
        std::fs::write(self.world.plan.dir.join("crls/ISR.pem"), list).unwrap();
        assert!(self.world.server.tls.reload().await.is_ok());
    }
}

/// Columns of the lower half.
pub(super) const MEMBERS: &[(&str, &str)] = &[
    ("outsider", "KOR:jiwoo"),
    ("member", "USA:mia"),
    ("registrar", "USA:registrar"),
    ("submitter", "ISR:avi"),
    ("counterpart", "USA:bob"),
    ("invited", "ISR:shir"),
    ("assigned", "USA:carol"),
    ("reviewed", "ISR:tal"),
    ("undeclared", "ISR:maya"),
    ("unassigned", "USA:rhea"),
    ("conflicted", "ISR:yael"),
    ("officer", "USA:dana"),
    ("partner-off.", "ISR:noa"),
    ("undecl.-off.", "USA:omar"),
    ("conflict-off.", "USA:olivia"),
    ("decider", "USA:frank"),
    ("undecl.-dec.", "USA:fern"),
    ("observer", "USA:oscar"),
    ("policy-off.", "ISR:drafter"),
    ("conflict-pol.", "ISR:paz"),
    ("invited-pol.", "ISR:ori"),
    ("host-policy", "USA:drafter"),
    ("relay", "ISR:relay"),
];

pub(super) fn id(member: &str) -> MemberId {
    member.parse().unwrap()
}

/// Hands in a joint proposal with a restricted slot of each party.
async fn hand_in(world: &TestWorld, call: CallId, members: [&str; 2]) -> ProposalId {
    let lead = world.client(members[0]);
    let parties = members.iter().map(|member| (id(member).partner().clone(), [id(member)].into())).collect();
    let new = NewProposal { call, topic: Some("energy".parse().unwrap()), parties };
    let proposal = lead.create_proposal(&new).await.unwrap();
    world.join_all(&proposal).await.unwrap();
    let proposal = proposal.id;
    let summary =
        Summary { title: "Title".into(), abstract_text: "Abstract".into(), team: Vec::new(), budget: Vec::new() };
    lead.put_summary(proposal, &summary, Arc::new(NoProgress)).await.unwrap();
    let pdf = world.file("document.pdf", b"%PDF-1.7\nSmall.\n%%EOF\n");
    let put = async |member: &str, slot: &str| {
        let (client, slot) = (world.client(member), slot.parse().unwrap());
        client.put_document(proposal, &slot, &pdf, None, Arc::new(NoProgress)).await.unwrap();
    };
    put(members[0], "work-plan").await;
    for member in members {
        put(member, "shareholders").await;
    }
    for member in members {
        let client = world.client(member);
        let plan = client.plan_signature(proposal).await.unwrap();
        client.sign(&plan).await.unwrap();
    }
    assert_eq!(lead.api().proposal(proposal).await.unwrap().version, Some(1));
    proposal
}

/// An upload of Avi's, under the key that is used again later.
async fn begin_upload(world: &TestWorld, proposal: ProposalId) -> UploadId {
    let path = format!("/v1/proposals/{proposal}/documents/work-plan/uploads");
    let request = world.raw(Some(world.credential("ISR:avi"))).request(Method::POST, &path);
    let metadata = format!("media_type {}", BASE64_STANDARD.encode("application/pdf"));
    let request = request.header("Idempotency-Key", SPENT).header("Tus-Resumable", "1.0.0");
    let begun = request.header("Upload-Length", 1000).header("Upload-Metadata", metadata).send().await.unwrap();
    begun.json::<ResumableUpload>().await.unwrap().id
}

/// A copy of a letter that is for the party of Israel alone. A call's text has letters for all parties or for one each, so that under one call
/// there are no letters of both kinds: this one is written to the table.
async fn one_for_israel(world: &TestWorld, letter: DocumentId) -> DocumentId {
    let copy = DocumentId::new(&*world.clock, &SystemRng);
    let sql = "INSERT INTO letters (letter_id, proposal_id, sent_by, sent_at, statement, ciphertext, party) \
               SELECT $1, proposal_id, sent_by, sent_at, statement, ciphertext, 'ISR' FROM letters WHERE letter_id = $2";
    let mut tx = world.server.exchange.db.write().await.unwrap();
    assert_eq!(tx.execute(sql, args![copy, letter]).await.unwrap(), 1);
    tx.commit().await.unwrap();
    copy
}

fn text(schedule: &serde_json::Value) -> CallText {
    let slot = |name: &str, audience: &str| {
        json!({
            "name": name, "title": name, "required": true, "media_types": ["application/pdf"], "max_bytes": 1 << 20,
            "audience": audience,
        })
    };
    let text = json!({
        "code": "MATRIX",
        "title": "Joint industrial research",
        "text": "One company from each nation.",
        "topics": ["energy"],
        "criteria": [{ "name": "excellence", "title": "Excellence", "max": 5.0, "step": 0.5 }],
        "slots": [slot("work-plan", "panel"), slot("shareholders", "staff")],
        "eligible": ["ISR", "USA"],
        "parties": { "at_least": 2, "at_most": 2, "required": ["ISR", "USA"] },
        "funders": ["ISR", "USA"],
        "schedule": schedule,
    });
    serde_json::from_value(text).unwrap()
}

fn assessment() -> ReviewBody {
    let excellence: entente::domain::id::Slug = "excellence".parse().unwrap();
    ReviewBody {
        scores: [(excellence.clone(), 4.0)].into(),
        comments: [(excellence, "Sound.".to_owned())].into(),
        overall: "Good.".to_owned(),
        recommendation: None,
    }
}
