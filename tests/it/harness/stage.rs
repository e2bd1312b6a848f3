//! A bilateral call on a test world, and the steps of its life that tests begin from: each is one call of a method here.
//!
//! Every step is taken by the member whose step it is, with the real client over mutual TLS. Nothing here looks beneath or
//! asserts anything but that the steps succeed.

use super::{
    process::{ended, entente},
    world::{KeptTestWorld, Store, TestWorld},
};
use entente::{
    client::{
        Client, NoProgress, ProgressListener,
        proposals::{BudgetLine, NewProposal, Summary, TeamMember},
        reviews::ReviewBody,
    },
    dev_pki::cast::{
        AVI, BOB, CAROL, DANA, DemoNation, EITAN, FRANK, ISR, KOR, MAYA, MINJUN, NOA, OLIVIA, OPAL, TAMAR, USA, WALT,
        YAEL,
    },
    domain::{
        ambient::Clock,
        id::{CallId, MemberId, PartnerCode, ProgramId, ProposalId, Slug},
        member::CallRole,
        policy::PolicyOwner,
        proposal::Parties,
        reference::CallCode,
    },
    wire::{call::CallText, directory::CreateProgram, review::Assigned},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::{
    collections::BTreeSet,
    ops::Deref,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::sync::OnceCell;

/// The two nations of the call, and Korea, which takes no part in it.
pub(crate) const NATIONS: &[DemoNation] = &[
    DemoNation { cast: &[DANA, OLIVIA, OPAL, BOB, CAROL, FRANK, WALT], ..USA },
    DemoNation { cast: &[NOA, AVI, TAMAR, YAEL, MAYA, EITAN], ..ISR },
    DemoNation { cast: &[MINJUN], ..KOR },
];

/// Sizes of slots, in bytes of ciphertext.
pub(crate) const ANNEX_LIMIT: u64 = 200_000;
pub(crate) const GRACE: SignedDuration = SignedDuration::from_hours(1);

/// A published call with its roles given.
pub(crate) struct Stage {
    world: TestWorld,
    pub(crate) program: ProgramId,
    pub(crate) call: CallId,
    pub(crate) deadline: Timestamp,
}

/// A stage that each test gets a copy of.
#[derive(Debug)]
struct KeptStage {
    world: KeptTestWorld,
    program: ProgramId,
    call: CallId,
    deadline: Timestamp,
}

impl KeptStage {
    async fn copy(&self, settings: &[(&str, &str)]) -> Stage {
        let Self { world, program, call, deadline } = self;
        Stage { world: world.copy(settings).await, program: *program, call: *call, deadline: *deadline }
    }
}

/// How far a proposal is, by the method of [`Stage`] that brings it there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Begun,
    Prepared,
    Submitted,
    AwaitingKeys,
    UnderReview,
}

impl Deref for Stage {
    type Target = TestWorld;

    fn deref(&self) -> &TestWorld {
        &self.world
    }
}

impl Stage {
    /// An exchange and a program; no call yet.
    pub(crate) async fn program(world: &TestWorld) -> ProgramId {
        let partners = ["USA", "ISR"].map(code).into();
        let body = CreateProgram { name: "Joint industrial research".into(), lead: code("USA"), partners };
        world.client("USA:dana").api().create_program(&body).await.unwrap().id
    }

    /// A call that is open for thirty days, on SQLite.
    pub(crate) async fn open() -> Self {
        Self::open_on(Store::Sqlite).await.unwrap()
    }

    /// The same on either engine. `None` when there is no PostgreSQL on this machine and that is what was asked for.
    pub(crate) async fn open_on(store: Store) -> Option<Self> {
        Self::open_with(store, &[]).await
    }

    /// The same with more settings of the server, as `key`, `value`: a copy of one that was made once.
    pub(crate) async fn open_with(store: Store, settings: &[(&str, &str)]) -> Option<Self> {
        static SQLITE: OnceCell<Option<KeptStage>> = OnceCell::const_new();
        static POSTGRES: OnceCell<Option<KeptStage>> = OnceCell::const_new();
        let make = || {
            Box::pin(async {
                let stage = Self::open_in(TestWorld::start(NATIONS, store).await?).await;
                Some(stage.keep().await)
            })
        };
        let kept = match store {
            Store::Sqlite => &SQLITE,
            Store::Postgres => &POSTGRES,
        };
        Some(kept.get_or_init(make).await.as_ref()?.copy(settings).await)
    }

    /// An open call on SQLite, and one proposal that was brought to this step: a copy of one that was brought there once. Servers and
    /// members' clients have started again since, so they hold in mind nothing of what led there.
    pub(crate) async fn at(step: Step) -> (Self, ProposalId) {
        static KEPT: [OnceCell<(KeptStage, ProposalId)>; 5] = [const { OnceCell::const_new() }; 5];
        let make = || {
            Box::pin(async move {
                let stage = Self::open().await;
                let proposal = match step {
                    Step::Begun => stage.begun().await,
                    Step::Prepared => stage.prepared().await,
                    Step::Submitted => stage.submitted().await,
                    Step::AwaitingKeys => stage.awaiting_keys().await,
                    Step::UnderReview => stage.under_review().await,
                };
                (stage.keep().await, proposal)
            })
        };
        let (kept, proposal) = KEPT[step as usize].get_or_init(make).await;
        (kept.copy(&[]).await, *proposal)
    }

    /// Stops it, for copies of it to begin where it ended.
    async fn keep(self) -> KeptStage {
        let Self { world, program, call, deadline } = self;
        KeptStage { world: world.keep().await, program, call, deadline }
    }

    /// The same in a world of one's own.
    pub(crate) async fn open_in(world: TestWorld) -> Self {
        let program = Self::program(&world).await;
        let now = world.clock.now();
        let deadline = now + SignedDuration::from_hours(24 * 30);
        let dana = world.client("USA:dana");
        let draft = dana.draft_call(program, &text(now, deadline)).await.unwrap();
        let call = dana.publish_call(draft.id).await.unwrap().id;
        let stage = Self { world, program, call, deadline };
        stage.grant().await;
        stage
    }

    /// Around a call that was published step by step.
    pub(crate) fn around(world: TestWorld, program: ProgramId, call: CallId, deadline: Timestamp) -> Self {
        Self { world, program, call, deadline }
    }

    pub(crate) async fn grant(&self) {
        use CallRole::{Decider, Observer, Officer, Reviewer};
        let roles = [
            ("USA:olivia", Officer),
            ("ISR:noa", Officer),
            ("USA:carol", Reviewer),
            ("ISR:yael", Reviewer),
            ("ISR:maya", Reviewer),
            ("USA:frank", Decider),
            ("ISR:eitan", Decider),
            ("USA:walt", Observer),
        ];
        for (member, role) in roles {
            let roles = BTreeSet::from([role]);
            // Each nation's officer names its deciders.
            let officer = if member == "ISR:eitan" { "ISR:noa" } else { "USA:dana" };
            self.client(officer).grant_roles(self.call, &id(member), &roles).await.unwrap();
        }
    }

    /// What Avi begins with Bob.
    pub(crate) fn joint(&self) -> NewProposal {
        let parties: Parties = [(code("ISR"), [id("ISR:avi")].into()), (code("USA"), [id("USA:bob")].into())].into();
        NewProposal { call: self.call, topic: Some(slug("navigation")), parties }
    }

    /// A joint proposal that both parties have joined.
    pub(crate) async fn begun(&self) -> ProposalId {
        let proposal = self.client("ISR:avi").create_proposal(&self.joint()).await.unwrap();
        self.join_all(&proposal).await.unwrap();
        proposal.id
    }

    /// A colleague is asked to join a party, and does.
    pub(crate) async fn joins(&self, asks: &str, proposal: ProposalId, member: &str) {
        self.client(asks).invite(proposal, &id(member)).await.unwrap();
        self.client(member).accept_invitation(proposal).await.unwrap();
    }

    /// The same after the deadline, from another organisation: with the consent of Dana, who has declared to be clear.
    pub(crate) async fn joins_late(&self, asks: &str, proposal: ProposalId, member: &str) {
        self.client(asks).invite(proposal, &id(member)).await.unwrap();
        self.client("USA:dana").api().consent_to_join(proposal, &id(member)).await.unwrap();
        self.client(member).accept_invitation(proposal).await.unwrap();
    }

    /// A joint proposal with every document uploaded and nothing signed.
    pub(crate) async fn prepared(&self) -> ProposalId {
        let proposal = self.begun().await;
        self.upload_all(proposal).await;
        proposal
    }

    /// Every required document, each restricted one by its party.
    pub(crate) async fn upload_all(&self, proposal: ProposalId) {
        let avi = self.client("ISR:avi");
        avi.put_summary(proposal, &summary("Lodestone"), quiet()).await.unwrap();
        self.put("ISR:avi", proposal, "work-plan", &self.file("work-plan.pdf", &pdf("the work plan"))).await;
        for member in ["ISR:avi", "USA:bob"] {
            let name = format!("shareholders-{}.pdf", &member[..3]);
            self.put(member, proposal, "shareholders", &self.file(&name, &pdf(member))).await;
        }
    }

    pub(crate) async fn put(&self, member: &str, proposal: ProposalId, slot: &str, file: &Path) {
        let client = self.client(member);
        client.put_document(proposal, &self::slug(slot), file, None, quiet()).await.unwrap();
    }

    /// Signs what the member's client says is to be signed now.
    pub(crate) async fn sign(&self, member: &str, proposal: ProposalId) {
        let client: &Client = self.client(member);
        let plan = client.plan_signature(proposal).await.unwrap();
        client.sign(&plan).await.unwrap();
    }

    /// A joint proposal, handed in.
    pub(crate) async fn submitted(&self) -> ProposalId {
        let proposal = self.prepared().await;
        self.sign("ISR:avi", proposal).await;
        self.sign("USA:bob", proposal).await;
        proposal
    }

    /// Past every deadline and grace period, by a millisecond.
    pub(crate) fn pass_the_opening(&self) {
        self.clock.set(self.deadline + GRACE + SignedDuration::from_millis(1));
    }

    pub(crate) async fn clear(&self, proposal: ProposalId, members: &[&str]) {
        for member in members {
            self.client(member).declare(proposal, None).await.unwrap();
        }
    }

    pub(crate) async fn assign(&self, pairs: &[(ProposalId, &str)], dry_run: bool) -> Assigned {
        let pairs: Vec<_> = pairs.iter().map(|(proposal, reviewer)| (*proposal, id(reviewer))).collect();
        self.client("USA:dana").assign(self.call, &pairs, dry_run).await.unwrap()
    }

    /// A proposal that its panel can read: opened, declared upon, assigned to Carol and Maya, keys wrapped.
    pub(crate) async fn under_review(&self) -> ProposalId {
        let proposal = self.submitted().await;
        self.pass_the_opening();
        self.clear(proposal, &["USA:dana", "ISR:noa", "USA:frank", "ISR:eitan"]).await;
        self.assign(&[(proposal, "USA:carol"), (proposal, "ISR:maya")], false).await;
        self.clear(proposal, &["USA:carol", "ISR:maya"]).await;
        self.prepare_panel().await;
        proposal
    }

    /// Wraps what is to be wrapped, as an officer does.
    pub(crate) async fn prepare_panel(&self) {
        let prepared = self.client("USA:dana").prepare_panel(self.call).await.unwrap();
        assert!(prepared.wrapped.refused.is_empty() && prepared.skipped.is_empty(), "{prepared:?}");
    }

    /// Submitted and opened, two reviewers assigned and clear, nothing wrapped yet.
    pub(crate) async fn awaiting_keys(&self) -> ProposalId {
        let proposal = self.submitted().await;
        self.pass_the_opening();
        self.clear(proposal, &["USA:dana"]).await;
        self.assign(&[(proposal, "USA:carol"), (proposal, "ISR:maya")], false).await;
        self.clear(proposal, &["USA:carol", "ISR:maya"]).await;
        proposal
    }

    /// A machine of the member's that has remembered what it saw, and holds nothing in mind.
    pub(crate) fn again(&self, member: &str) -> Client {
        let (member, files) = (id(member), self.plan.dir.join("pki").join(&member[..3]));
        let file = |kind: &str| files.join(format!("{}.{kind}", member.handle()));
        self.client_with(self.home(&member), &member, file("crt"), file("key")).unwrap()
    }

    /// Israel's policy officers put one more policy in force.
    pub(crate) async fn israel_adds(&self, policy: &str) {
        let text = self.client("ISR:drafter").policy(&"ISR".parse().unwrap()).await.unwrap().text.unwrap();
        self.israel_writes(&format!("{text}\n{policy}")).await;
    }

    /// Israel's policy officers put a text in force.
    pub(crate) async fn israel_writes(&self, text: &str) {
        let israel: PolicyOwner = "ISR".parse().unwrap();
        let (drafter, approver) = (self.client("ISR:drafter"), self.client("ISR:approver"));
        let proposed = drafter.propose_policy(&israel, "ISR", text, None).await.unwrap();
        let (_, told) = approver.preview_policy(&proposed).await.unwrap();
        approver.approve_policy(&proposed, &told).await.unwrap();
    }

    /// Ends it; open requests finish first.
    pub(crate) async fn stop(self) {
        self.world.stop().await;
    }

    /// The same, but the members' homes stay as long as the folder that is returned.
    pub(crate) async fn stop_keeping(self) -> tempfile::TempDir {
        self.world.stop_keeping().await
    }
}

/// A code that no other call has: the tests of one program run side by side.
pub(crate) fn fresh_code() -> CallCode {
    static CODES: AtomicU32 = AtomicU32::new(1);
    format!("CALL{}", CODES.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
}

/// The text of a call, with a code of its own.
pub(crate) fn text(opens_at: Timestamp, deadline_at: Timestamp) -> CallText {
    let criterion = |name: &str, title: &str| json!({ "name": name, "title": title, "max": 5.0, "step": 0.5, "weight": 1, "threshold": 3.0 });
    let slot = |name: &str, required: bool, media_type: &str, max_bytes: u64, audience: &str| {
        json!({
            "name": name, "title": name, "required": required, "media_types": [media_type], "max_bytes": max_bytes,
            "audience": audience,
        })
    };
    let text = json!({
        "code": fresh_code(), "title": "Joint industrial research", "text": "One company from each nation proposes jointly.",
        "topics": ["energy", "navigation"],
        "criteria": [criterion("excellence", "Excellence"), criterion("impact", "Impact")],
        "total_threshold": 6.0,
        "slots": [
            slot("work-plan", true, "application/pdf", 4_000_000, "panel"),
            slot("annex", false, "application/octet-stream", ANNEX_LIMIT, "panel"),
            slot("shareholders", true, "application/pdf", 1_000_000, "staff"),
        ],
        "eligible": ["ISR", "USA"],
        "parties": { "at_least": 2, "at_most": 2, "required": ["ISR", "USA"] },
        "funders": ["ISR", "USA"],
        "schedule": {
            "opens_at": opens_at, "deadline_at": deadline_at, "grace_seconds": GRACE.as_secs(),
            "reviews_due_at": deadline_at + SignedDuration::from_hours(24 * 45),
        },
    });
    serde_json::from_value(text).unwrap()
}

pub(crate) fn summary(title: &str) -> Summary {
    Summary {
        title: title.to_owned(),
        abstract_text: "Finding the way without satellites.".to_owned(),
        team: vec![TeamMember { name: AVI.name.into(), organisation: AVI.organisation.into(), role: None }],
        budget: vec![BudgetLine { item: "Sensor heads".into(), party: None, amount: 640_000, currency: "USD".into() }],
    }
}

/// A review with these scores.
pub(crate) fn review(excellence: f64, impact: f64) -> ReviewBody {
    let scores = [("excellence", excellence), ("impact", impact)].map(|(name, score)| (slug(name), score));
    ReviewBody { scores: scores.into(), overall: "Sound.".into(), ..ReviewBody::default() }
}

/// Something that begins and ends as a PDF does.
pub(crate) fn pdf(content: &str) -> Vec<u8> {
    format!("%PDF-1.7\n{content}\n{}\n%%EOF\n", "filler ".repeat(2000)).into_bytes()
}

/// Runs a command of a member's as a script does: exit code, answer, and what is said besides.
pub(crate) async fn run(stage: &Stage, member: &str, words: &[&str]) -> (i32, String, String) {
    let home = stage.home(&id(member)).display().to_string();
    let output = ended(entente(&[&["--home", &home], words].concat())).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

pub(crate) fn quiet() -> Arc<dyn ProgressListener> {
    Arc::new(NoProgress)
}

pub(crate) fn id(member: &str) -> MemberId {
    member.parse().unwrap()
}

pub(crate) fn code(partner: &str) -> PartnerCode {
    partner.parse().unwrap()
}

pub(crate) fn slug(name: &str) -> Slug {
    name.parse().unwrap()
}
