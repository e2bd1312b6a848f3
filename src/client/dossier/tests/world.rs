//! A call of two nations, and dossiers of it: put together entry by entry, and signed.

use crate::{
    client::{
        NoProgress, Result,
        dossier::{Dossier, DossierCase, DossierEntry, DossierReport, FORM, framed, verify},
        receipt::{TrustedCard, trusted},
        testing::{Nation, Person, at, call},
    },
    domain::{
        decision::Outcome,
        id::{MemberId, PartnerCode, ProposalId, Sha256},
        member::{CallRole, ConflictGround, Declared},
        proposal::Status,
        reference::Reference,
    },
    sealing::statement::{
        AssignmentStatement, CallPublication, DecisionStatement, DeclarationStatement, DossierStatement,
        LetterStatement, Manifest, ManifestDocument, RankingStatement, ReviewStatement, RoleStatement, RollStatement,
        Statement, sign_statement,
    },
    wire::{
        call::StatedRoles,
        directory::PublishedKeyCard,
        entry::payloads::{
            CallPublished, DecisionFinal, DecisionSigned, InterestDeclared, LetterSent, ManifestSigned, Payload,
            ProposalSubmitted, RankingSent, ReviewSubmitted, ReviewerAssigned,
        },
    },
};
use std::collections::{BTreeMap, BTreeSet};

const MEMBERS: [&str; 8] =
    ["USA:dana", "ISR:noa", "USA:carol", "ISR:yael", "USA:frank", "ISR:eitan", "ISR:avi", "USA:bob"];
pub(super) const DAY: &str = "2026-03-20T00:00:00Z";
const EXPORTED: &str = "2026-07-01T00:00:00Z";

/// Two nations and their people, with the call of [`call`].
pub(super) struct World {
    pub(super) nations: BTreeMap<PartnerCode, Nation>,
    people: BTreeMap<MemberId, Person>,
    publication: CallPublication,
}

/// A dossier while its entries are put together, one an hour.
pub(super) struct Draft<'w> {
    pub(super) world: &'w World,
    pub(super) dossier: Dossier,
    pub(super) seq: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let nations: BTreeMap<_, _> = ["ISR", "USA"].map(|code| (read(code), Nation::new(code))).into();
        let member = |name: &str| {
            let id: MemberId = read(name);
            let person = nations[id.partner()].member(id.handle());
            (id, person)
        };
        let people = MEMBERS.map(member).into();
        Self { people, nations, publication: call().publication }
    }

    pub(super) fn sign(&self, member: &str, statement: &impl Statement) -> String {
        sign_statement(&self.people[&read::<MemberId>(member)].key, statement).unwrap()
    }

    pub(super) fn trusted(&self) -> Vec<TrustedCard> {
        trusted(self.nations.values().map(|nation| nation.card.clone()), []).unwrap()
    }

    fn key_cards(&self) -> BTreeMap<MemberId, Vec<PublishedKeyCard>> {
        let cards = self.people.iter().map(|(id, person)| {
            let key_card = self.nations[id.partner()].issue(&person.card);
            let published_at = at("2026-01-01T00:00:00Z").into();
            (id.clone(), vec![PublishedKeyCard { serial: 1, key_card, published_at }])
        });
        cards.collect()
    }

    /// A call in which one proposal was judged, as an officer is shown it.
    pub(super) fn dossier(&self) -> Dossier {
        let mut draft = Draft::new(self);
        draft.case(case_number(0));
        draft.judged(0);
        draft.dossier
    }

    /// The file, signed by who it says exported it.
    pub(super) fn file(&self, dossier: &Dossier) -> Vec<u8> {
        let body = dossier.body().unwrap();
        let statement = DossierStatement {
            call: dossier.call,
            member: dossier.exported_by.clone(),
            roles: dossier.exported_as.clone(),
            sha256: Sha256::of(&body),
            stated_at: dossier.exported_at.0,
        };
        framed(&body, &self.sign(&dossier.exported_by.to_string(), &statement)).unwrap()
    }

    pub(super) fn verify(&self, dossier: &Dossier) -> Result<DossierReport> {
        verify(&self.file(dossier), &self.trusted(), &NoProgress)
    }
}

pub(super) fn read<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// The reference and the identifier of the proposal with that number.
pub(super) fn case_number(number: u32) -> (ProposalId, Reference) {
    let id = format!("prop_01J9ZQ4N6M8V7X5T3R2P1{number:05}");
    (read(&id), Reference::new(&read("WATER26"), &format!("{number:04}")))
}

impl<'w> Draft<'w> {
    pub(super) fn new(world: &'w World) -> Self {
        use CallRole::{Decider, Officer, Reviewer};
        let publication = world.sign("USA:dana", &world.publication);
        let roles = [
            ("USA:dana", Officer),
            ("ISR:noa", Officer),
            ("USA:carol", Reviewer),
            ("USA:frank", Decider),
            ("ISR:eitan", Decider),
        ];
        let roles = roles.map(|(member, role)| (read(member), [role].into())).into();
        let call = world.publication.call;
        let roll = RollStatement { call, partners: [read("ISR"), read("USA")].into(), roles };
        let role = RoleStatement {
            call,
            number: 2,
            previous: roll.digest().unwrap(),
            member: read("ISR:yael"),
            roles: [Reviewer].into(),
        };
        let stated = |number, statement, by: &str| StatedRoles {
            number,
            statement,
            stated_by: read(by),
            stated_at: at("2026-02-01T00:00:00Z").into(),
        };
        let dossier = Dossier {
            form: FORM.into(),
            call,
            code: read("WATER26"),
            lead: read("USA"),
            publication: publication.clone(),
            exported_by: read("USA:dana"),
            exported_as: [Officer].into(),
            exported_at: at(EXPORTED).into(),
            entries: Vec::new(),
            roles: vec![
                stated(1, world.sign("USA:dana", &roll), "USA:dana"),
                stated(2, world.sign("ISR:noa", &role), "ISR:noa"),
            ],
            not_shown: BTreeSet::new(),
            proposals: Vec::new(),
            key_cards: world.key_cards(),
            partner_cards: world.nations.iter().map(|(code, nation)| (code.clone(), nation.card.clone())).collect(),
        };
        let mut draft = Self { world, dossier, seq: 0 };
        let CallPublication { version, text_sha256, vault, recipient, .. } = world.publication.clone();
        let published = CallPublished { version, text_sha256, vault, recipient, publication };
        draft.entry(None, "USA:dana", published.into(), "2026-02-01T00:00:00Z");
        draft
    }

    pub(super) fn entry(&mut self, case: Option<usize>, actor: &str, payload: Payload, instant: &str) {
        self.seq += 1;
        let entry = DossierEntry {
            seq: self.seq,
            at: at(instant).into(),
            kind: payload.kind(),
            actor: Some(read(actor)),
            payload: payload.canonical(),
            salt: "AA==".into(),
        };
        match case {
            Some(case) => self.dossier.proposals[case].entries.push(entry),
            None => self.dossier.entries.push(entry),
        }
    }

    /// A proposal that both parties signed and handed in.
    pub(super) fn case(&mut self, (proposal, reference): (ProposalId, Reference)) {
        let manifest = manifest(self.world, proposal, &reference);
        let digest = manifest.digest().unwrap();
        self.dossier.proposals.push(DossierCase {
            proposal,
            reference,
            topic: None,
            parties: manifest.parties.clone(),
            status: Status::Submitted,
            version: Some(1),
            manifest_sha256: Some(digest),
            decided: None,
            not_shown: BTreeSet::new(),
            entries: Vec::new(),
            statements: Vec::new(),
        });
        let case = self.dossier.proposals.len() - 1;
        for member in ["ISR:avi", "USA:bob"] {
            let signed = ManifestSigned {
                version: 1,
                manifest_sha256: digest,
                partner: read(&member[..3]),
                manifest: self.world.sign(member, &manifest),
                arrived_at: at(DAY).into(),
            };
            self.entry(Some(case), member, signed.into(), DAY);
        }
        let submitted = ProposalSubmitted { version: 1, manifest_sha256: digest };
        self.entry(Some(case), "USA:bob", submitted.into(), DAY);
    }

    pub(super) fn declare(&mut self, case: usize, member: &str, declared: Declared, instant: &str) {
        let ground = (declared == Declared::Conflict).then_some(ConflictGround::Collaboration);
        let (number, previous) = (1, None);
        let said = DeclarationStatement {
            proposal: self.dossier.proposals[case].proposal,
            member: read(member),
            number,
            previous,
            declared,
            ground,
            reference: None,
        };
        let entry = InterestDeclared { member: read(member), ground, statement: self.world.sign(member, &said) };
        let payload = match declared {
            Declared::Conflict => Payload::ConflictDeclared(entry),
            _ => Payload::ClearDeclared(entry),
        };
        self.entry(Some(case), member, payload, instant);
    }

    /// Declarations, an assignment, a review, the ranking, a decision of both funders and a letter.
    pub(super) fn judged(&mut self, case: usize) {
        let DossierCase { proposal, reference, manifest_sha256: Some(manifest_sha256), .. } =
            self.dossier.proposals[case].clone()
        else {
            panic!("nothing was handed in");
        };
        let (world, call_text_sha256) = (self.world, self.world.publication.text_sha256);
        let clear = ["USA:dana", "USA:frank", "ISR:eitan", "ISR:yael"];
        for member in clear {
            self.declare(case, member, Declared::Clear, "2026-04-02T00:00:00Z");
        }
        self.declare(case, "USA:carol", Declared::Conflict, "2026-04-02T01:00:00Z");
        let reviewer: MemberId = read("ISR:yael");
        let said = AssignmentStatement { call: self.dossier.call, proposal, reviewer: reviewer.clone() };
        let entry = ReviewerAssigned { reviewer: reviewer.clone(), statement: world.sign("USA:dana", &said) };
        self.entry(Some(case), "USA:dana", entry.into(), "2026-04-02T02:00:00Z");
        let sha256 = Sha256::of(b"sealed");
        let said = ReviewStatement {
            proposal,
            manifest_sha256,
            call_text_sha256,
            reviewer: reviewer.clone(),
            revision: 1,
            sha256,
        };
        let statement = world.sign("ISR:yael", &said);
        let review = read("rev_01J9ZQ4N6M8V7X5T3R2P1K0HGF");
        let entry = ReviewSubmitted { review, reviewer, revision: 1, manifest_sha256, sha256, statement };
        self.entry(Some(case), "ISR:yael", entry.into(), "2026-04-10T00:00:00Z");
        let stated_at = at("2026-04-11T00:00:00Z");
        let said = RankingStatement {
            proposal,
            reference: reference.clone(),
            manifest_sha256,
            call_text_sha256,
            sha256,
            stated_at,
        };
        let statement = world.sign("USA:dana", &said);
        let entry = RankingSent { manifest_sha256, sha256, statement, in_place_of: None };
        self.entry(Some(case), "USA:dana", entry.into(), "2026-04-11T00:00:00Z");
        let decision = read("dec_01J9ZQ4N6M8V7X5T3R2P1K0HGF");
        let mut decided = None;
        for member in ["USA:frank", "ISR:eitan"] {
            let partner: PartnerCode = read(&member[..3]);
            let said = DecisionStatement {
                proposal,
                manifest_sha256,
                outcome: Outcome::Fund,
                partner: partner.clone(),
                supersedes: None,
                reason: None,
            };
            decided = Some(said.joint_digest());
            let statement = world.sign(member, &said);
            let outcome = Outcome::Fund;
            let entry = DecisionSigned { decision, outcome, partner, manifest_sha256, statement, in_place_of: None };
            self.entry(Some(case), member, entry.into(), "2026-05-01T00:00:00Z");
        }
        let entry = DecisionFinal { decision, outcome: Outcome::Fund, manifest_sha256, superseded: None };
        self.entry(Some(case), "ISR:eitan", entry.into(), "2026-05-01T00:00:00Z");
        self.dossier.proposals[case].decided = Some(Outcome::Fund);
        let said = LetterStatement {
            proposal,
            manifest_sha256,
            sha256,
            decision_sha256: decided,
            reference: Some(reference),
            party: None,
        };
        let letter = read("doc_01J9ZQ4N6M8V7X5T3R2P1K0HGF");
        let entry = LetterSent { letter, sha256, party: None, statement: world.sign("USA:dana", &said) };
        self.entry(Some(case), "USA:dana", entry.into(), "2026-05-02T00:00:00Z");
    }
}

fn manifest(world: &World, proposal: ProposalId, reference: &Reference) -> Manifest {
    Manifest {
        call: world.publication.call,
        call_text_sha256: world.publication.text_sha256,
        proposal,
        reference: reference.clone(),
        version: 1,
        parties: [read("ISR"), read("USA")].into(),
        documents: vec![ManifestDocument {
            slot: read("plan"),
            party: None,
            vault: world.publication.vault,
            recipient: world.publication.recipient.clone(),
            sha256: Sha256::of(b"sealed"),
            size: 500,
            media_type: "application/pdf".into(),
        }],
        label: None,
    }
}
