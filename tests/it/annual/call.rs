//! One call's year, step by step: what each person types, and what others do through the client meanwhile.

use super::{
    DAY,
    papers::{filled_call, filled_decisions, filled_reviews, filled_summary, score_of},
    people::{Counted, Office, Tally, runs},
};
use crate::harness::{
    stage::{code, id, pdf, quiet, slug, summary},
    world::TestWorld,
};
use entente::{
    client::{Client, proposals::NewProposal, reviews::ReviewBody},
    domain::{
        ambient::Clock,
        id::{CallId, ProgramId, ProposalId},
        member::ConflictGround,
        proposal::Status,
    },
    wire::{directory::CreateProgram, proposal::Proposal},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{Mutex, OnceLock},
};

/// Who and what a call is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) code: &'static str,
    pub(super) template: &'static str,
    pub(super) partners: &'static [&'static str],
    pub(super) officer: &'static str,
    /// An officer of another nation.
    pub(super) second: Option<&'static str>,
    pub(super) reviewers: &'static [&'static str],
    /// Those of them who type.
    pub(super) counted_reviewers: &'static [&'static str],
    /// One of them who declares a conflict after the assignment.
    pub(super) conflicted: Option<&'static str>,
    pub(super) deciders: &'static [&'static str],
    /// Those of them who type.
    pub(super) counted_deciders: &'static [&'static str],
    pub(super) observers: &'static [&'static str],
    pub(super) proposals: usize,
    /// Reviewers for each proposal.
    pub(super) each: usize,
    pub(super) topic: &'static str,
    pub(super) panel_slots: &'static [&'static str],
    pub(super) staff_slot: &'static str,
}

/// A call on its way.
pub(super) struct CallYear<'w> {
    world: &'w TestWorld,
    plan: Plan,
    folder: PathBuf,
    call: OnceLock<CallId>,
    officer: Counted<'w>,
    second: Option<Counted<'w>>,
    reviewers: Vec<Counted<'w>>,
    deciders: Vec<Counted<'w>>,
    /// The two parties of the proposal that is handed in by the program.
    pair: Mutex<Vec<Tally>>,
}

impl<'w> CallYear<'w> {
    pub(super) fn new(world: &'w TestWorld, plan: Plan) -> Self {
        let counted = |office: Office, member: &str| Counted::new(world, office, member, plan.code);
        let folder = world.plan.dir.join(plan.code);
        fs::create_dir(&folder).unwrap();
        let several = |office: Office, members: &[&str]| members.iter().map(|member| counted(office, member)).collect();
        Self {
            world,
            plan,
            folder,
            call: OnceLock::new(),
            officer: counted(Office::Officer, plan.officer),
            second: plan.second.map(|member| counted(Office::Officer, member)),
            reviewers: several(Office::Reviewer, plan.counted_reviewers),
            deciders: several(Office::Decider, plan.counted_deciders),
            pair: Mutex::default(),
        }
    }

    pub(super) fn tallies(&self) -> impl Iterator<Item = Tally> {
        let others = self.second.iter().chain(&self.reviewers).chain(&self.deciders);
        let tallies: Vec<Tally> = std::iter::once(&self.officer).chain(others).map(Counted::tally).collect();
        tallies.into_iter().chain(self.pair.lock().unwrap().clone())
    }

    fn call(&self) -> CallId {
        *self.call.get().unwrap()
    }

    fn client(&self, member: &str) -> &Client {
        self.world.client(member)
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Keeps an answer in a file, as `>` does.
    fn keep(&self, name: &str, content: &str) -> String {
        fs::write(self.folder.join(name), content).unwrap();
        self.path(name)
    }

    fn edit(&self, name: &str, change: impl FnOnce(&str) -> String) {
        let text = fs::read_to_string(self.folder.join(name)).unwrap();
        fs::write(self.folder.join(name), change(&text)).unwrap();
    }

    async fn program(&self) -> ProgramId {
        let partners = self.plan.partners.iter().map(|partner| code(partner)).collect();
        let lead = id(self.plan.officer).partner().clone();
        let body = CreateProgram { name: format!("Program of {}", self.plan.code), lead, partners };
        // The host sets programs up, also those that others lead.
        self.client("USA:officer").api().create_program(&body).await.unwrap().id
    }

    /// From a template to a published call with its panel.
    pub(super) async fn publishes(&self) {
        let Plan { code, template, partners, .. } = self.plan;
        let (program, officer) = (self.program().await, &self.officer);
        let file = self.path("call.toml");
        officer.types(&format!("call new --from {template} --to {file}")).await;
        let now = self.world.clock.now();
        let dates = [now, now + DAY * 30, now + DAY * 75].map(|instant| instant.to_string());
        self.edit("call.toml", |text| filled_call(text, code, partners, dates));
        let draft = officer.types(&format!("--json call draft --program {program} --file {file}")).await;
        let draft: Value = serde_json::from_str(&draft).unwrap();
        self.call.set(draft["id"].as_str().unwrap().parse().unwrap()).unwrap();
        let add = |members: &[&str], role: &str| format!("call role add {code} {} --role {role}", members.join(" "));
        if let Some(second) = self.plan.second {
            officer.types(&add(&[second], "officer")).await;
        }
        officer.types(&format!("call publish {code} --yes")).await;
        officer.types(&add(self.plan.reviewers, "reviewer")).await;
        let nation = |member: &str| id(member).partner().clone();
        let is_hers = |member: &&str| self.plan.second.is_some_and(|second| nation(second) == nation(member));
        let (hers, others): (Vec<&str>, Vec<&str>) = self.plan.deciders.iter().copied().partition(is_hers);
        officer.types(&add(&others, "decider")).await;
        if let Some(second) = &self.second {
            second.types(&add(&hers, "decider")).await;
        }
        officer.types(&add(self.plan.observers, "observer")).await;
        // A service: it is started once, and takes its turns by itself from here on.
        officer.types(&self.agent()).await;
    }

    fn agent(&self) -> String {
        format!("agent run --call {} --once", self.plan.code)
    }

    /// The next turn of the service, for which nobody types.
    async fn keys_follow(&self) {
        runs(self.world, self.plan.officer, &self.agent()).await;
    }

    /// The parties of the proposal with this number: another pair of companies each time.
    fn parties(&self, number: usize) -> [String; 2] {
        let partners = self.plan.partners;
        let (lead, apart) = (number % partners.len(), 1 + number / partners.len() % (partners.len() - 1));
        let firm = number / partners.len() % 8 + 1;
        [lead, (lead + apart) % partners.len()].map(|at| format!("{}:firm{firm}", partners[at]))
    }

    /// All proposals are handed in, the first of them by the program.
    pub(super) async fn proposes(&self) {
        let files: BTreeMap<&str, PathBuf> = self
            .plan
            .panel_slots
            .iter()
            .chain([&self.plan.staff_slot])
            .copied()
            .map(|slot| {
                let (name, content) = match slot {
                    "budget" => ("budget.csv", b"item,amount\nstaff,250000\n".to_vec()),
                    _ => (slot, pdf(slot)),
                };
                let name = if name == slot { format!("{slot}.pdf") } else { name.to_owned() };
                let path = self.folder.join(name);
                fs::write(&path, content).unwrap();
                (slot, path)
            })
            .collect();
        self.hands_in_by_hand(self.parties(0), &files).await;
        for number in 1..self.plan.proposals {
            self.hands_in(number, &files).await;
        }
        let handed_in = self.client(self.plan.officer).api().all_proposals(Some(self.call())).await.unwrap();
        assert_eq!(handed_in.iter().filter(|row| row.status == Status::Submitted).count(), self.plan.proposals);
    }

    async fn hands_in_by_hand(&self, [submitter, counterpart]: [String; 2], files: &BTreeMap<&str, PathBuf>) {
        let Plan { code, topic, panel_slots, staff_slot, .. } = self.plan;
        let other = Counted::new(self.world, Office::Counterpart, &counterpart, code);
        let submitter = Counted::new(self.world, Office::Submitter, &submitter, code);
        let line = format!("--json proposal create --call {code} --with {counterpart} --topic {topic}");
        let begun: Value = serde_json::from_str(&submitter.types(&line).await).unwrap();
        let reference = begun["reference"].as_str().unwrap();
        other.types(&format!("proposal accept {reference}")).await;
        let form = submitter.types(&format!("proposal summary {reference} --form")).await;
        let form = self.keep("summary.md", &filled_summary(&form, "Lodestone"));
        submitter.types(&format!("proposal summary {reference} --file {form}")).await;
        let put = |slots: &[&str]| {
            let places = slots.iter().map(|slot| format!(" {slot} {}", files[slot].display()));
            format!("proposal put {reference}{}", places.collect::<Vec<_>>().concat())
        };
        submitter.types(&put(&[panel_slots, &[staff_slot]].concat())).await;
        other.types(&put(&[staff_slot])).await;
        let check = submitter.types(&format!("proposal check {reference}")).await;
        assert!(check.contains("sign"), "{check}");
        submitter.types(&format!("proposal sign {reference} --yes")).await;
        other.types(&format!("proposal sign {reference} --yes")).await;
        let receipt = submitter.types(&format!("proposal receipt {reference}")).await;
        assert!(receipt.contains("manifest"), "{receipt}");
        self.pair.lock().unwrap().extend([submitter.tally(), other.tally()]);
    }

    async fn hands_in(&self, number: usize, files: &BTreeMap<&str, PathBuf>) {
        let members = self.parties(number);
        let parties = members.each_ref().map(|member| (id(member).partner().clone(), [id(member)].into()));
        let new = NewProposal { call: self.call(), topic: Some(slug(self.plan.topic)), parties: parties.into() };
        let [lead, other] = members.each_ref().map(|member| self.client(member));
        let begun = lead.create_proposal(&new).await.unwrap();
        self.world.join_all(&begun).await.unwrap();
        lead.put_summary(begun.id, &summary(&format!("Proposal {number}")), quiet()).await.unwrap();
        let put = async |client: &Client, name: &str| {
            client.put_document(begun.id, &slug(name), &files[name], None, quiet()).await.unwrap();
        };
        for name in self.plan.panel_slots {
            put(lead, name).await;
        }
        for client in [lead, other] {
            put(client, self.plan.staff_slot).await;
        }
        for client in [lead, other] {
            let plan = client.plan_signature(begun.id).await.unwrap();
            client.sign(&plan).await.unwrap();
        }
    }

    /// Somebody declares on everything that waits for them, by a sheet that they looked at.
    async fn declares(&self, person: &Counted<'_>) {
        let code = self.plan.code;
        let sheet = person.types(&format!("--csv conflict sheet {code}")).await;
        let name = format!("interests-{}.csv", person.member().replace(':', "."));
        let file = self.keep(&name, &sheet);
        person.types(&format!("conflict sheet {code} --file {file} --yes")).await;
    }

    /// Interests, assignments and keys.
    pub(super) async fn assigns(&self) {
        let Plan { code, .. } = self.plan;
        let officer = &self.officer;
        let todo = officer.types("todo").await;
        assert!(todo.contains(code), "{todo}");
        self.declares(officer).await;
        for decider in &self.deciders {
            self.declares(decider).await;
        }
        for decider in self.other_deciders() {
            let client = self.client(decider);
            for row in client.api().all_proposals(Some(self.call())).await.unwrap() {
                client.declare(row.id, None).await.unwrap();
            }
        }
        self.suggests("assignments.csv").await;
        if let Some(conflicted) = self.plan.conflicted {
            self.is_replaced(conflicted).await;
        }
        for reviewer in self.others() {
            for row in self.assigned(reviewer).await.iter().filter(|row| !row.mine.is_clear) {
                self.client(reviewer).declare(row.id, None).await.unwrap();
            }
        }
        for reviewer in &self.reviewers {
            let todo = reviewer.types("todo").await;
            assert!(todo.contains(code), "{todo}");
            self.declares(reviewer).await;
        }
        self.keys_follow().await;
    }

    /// A reviewer finds a conflict, the officer sees it, and somebody else is assigned.
    async fn is_replaced(&self, reviewer: &str) {
        let row = self.assigned(reviewer).await.remove(0);
        self.client(reviewer).declare(row.id, Some(ConflictGround::Collaboration)).await.unwrap();
        let chase = self.officer.types(&format!("--json call chase {}", self.plan.code)).await;
        let chase: Value = serde_json::from_str(&chase).unwrap();
        let mut lines = chase["reviewers"].as_array().unwrap().iter();
        assert_eq!(lines.find(|line| line["reviewer"] == reviewer).unwrap()["set_aside"], 1, "{chase}");
        self.suggests("more-assignments.csv").await;
    }

    async fn suggests(&self, name: &str) {
        let Plan { code, each, .. } = self.plan;
        let file = self.path(name);
        self.officer.types(&format!("assignment suggest {code} --each {each} --out {file}")).await;
        self.officer.types(&format!("assignment load {code} {file} --yes")).await;
    }

    /// Deciders who act through the client.
    fn other_deciders(&self) -> impl Iterator<Item = &'static str> {
        let counted = self.plan.counted_deciders;
        self.plan.deciders.iter().copied().filter(move |decider| !counted.contains(decider))
    }

    /// Reviewers who act through the client.
    fn others(&self) -> impl Iterator<Item = &'static str> {
        let counted = self.plan.counted_reviewers;
        self.plan.reviewers.iter().copied().filter(move |reviewer| !counted.contains(reviewer))
    }

    /// Everybody reads and reviews what is theirs.
    pub(super) async fn reviews(&self) {
        let Plan { code, .. } = self.plan;
        for reviewer in &self.reviewers {
            let name = reviewer.member().replace(':', ".");
            let (folder, form) = (self.path(&format!("reading-{name}")), self.path(&format!("reviews-{name}.md")));
            reviewer.types(&format!("proposal open --assigned {code} --into {folder}")).await;
            reviewer.types(&format!("review form {code} --output {form}")).await;
            self.edit(&format!("reviews-{name}.md"), filled_reviews);
            reviewer.types(&format!("review submit --call {code} --file {form} --yes")).await;
            let mine = self.assigned(&reviewer.member()).await;
            assert!(mine.len() >= 6 && mine.iter().all(|row| row.mine.has_reviewed), "{name} has {}", mine.len());
        }
        let criteria = self.client(self.plan.officer).call(self.call()).await.unwrap().rules.criteria.clone();
        for reviewer in self.others() {
            let client = self.client(reviewer);
            for row in self.assigned(reviewer).await {
                let score = score_of(&row.reference.to_string());
                let body = ReviewBody {
                    scores: criteria.iter().map(|criterion| (criterion.name.clone(), score)).collect(),
                    overall: "Sound.".into(),
                    ..ReviewBody::default()
                };
                client.submit_review(row.id, &body).await.unwrap();
            }
        }
        self.keys_follow().await;
    }

    async fn assigned(&self, reviewer: &str) -> Vec<Proposal> {
        self.client(reviewer).assigned_proposals(self.call()).await.unwrap()
    }

    /// The ranking goes to those who decide.
    pub(super) async fn ranks(&self) {
        let Plan { code, .. } = self.plan;
        let chase = self.officer.types(&format!("--json call chase {code}")).await;
        let chase: Value = serde_json::from_str(&chase).unwrap();
        let waits =
            chase["proposals"].as_array().unwrap().iter().flat_map(|proposal| proposal["blocks"].as_array().unwrap());
        assert!(waits.clone().all(|block| block["what"] == "decide"), "{chase}");
        self.officer.types(&format!("ranking show {code}")).await;
        self.officer.types(&format!("ranking send {code} --yes")).await;
    }

    /// Every decider signs on every proposal.
    pub(super) async fn decides(&self) {
        let Plan { code, proposals, .. } = self.plan;
        for decider in &self.deciders {
            let name = format!("board-{}", decider.member().replace(':', "."));
            let board = self.path(&name);
            decider.types(&format!("decision sheet {code} --output {board}")).await;
            let sheet = format!("{name}/sheet.csv");
            self.edit(&sheet, |text| filled_decisions(text, proposals / 3));
            decider.types(&format!("decision sign {code} --from {} --yes", self.path(&sheet))).await;
        }
        for decider in self.other_deciders() {
            let client = self.client(decider);
            for row in client.api().all_proposals(Some(self.call())).await.unwrap() {
                let outcome = client.decision(row.id).await.unwrap().unwrap().outcome;
                client.sign_decision(row.id, outcome).await.unwrap();
            }
        }
    }

    /// Letters to all parties.
    pub(super) async fn answers(&self) {
        let Plan { code, officer, proposals, .. } = self.plan;
        let letters = self.officer.types("letter example").await;
        let letters = self.keep("letters.txt", &letters);
        let look = self.path("look");
        self.officer.types(&format!("letter send {code} --template {letters} --dry-run --output {look}")).await;
        assert_eq!(fs::read_dir(&look).unwrap().count(), proposals);
        self.officer.types(&format!("letter send {code} --template {letters} --yes")).await;
        let first = self.parties(0)[1].clone();
        let rows = self.client(&first).api().all_proposals(Some(self.call())).await.unwrap();
        self.reads(&first, rows[0].id).await;
        let listed = self.officer.types(&format!("--json letter list --call {code}")).await;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed["items"].as_array().unwrap().len(), proposals);
        let progress = self.client(officer).api().call_progress(self.call()).await.unwrap();
        assert_eq!(progress.decided as usize, proposals, "{progress:?}");
    }

    async fn reads(&self, member: &str, proposal: ProposalId) {
        let client = self.client(member);
        let letter = client.api().letters(proposal).await.unwrap().remove(0);
        let text = client.read_letter(proposal, letter.id).await.unwrap().text;
        assert!(text.contains(&letter.reference.to_string()), "{}", &*text);
    }
}
