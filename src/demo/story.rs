//! What happens in the demonstration: a bilateral and a multilateral call, from publication to letters.
//!
//! Every act goes through the client library over mutual TLS, as the member who acts in the story. What somebody is refused is
//! attempted for real, and the demonstration fails when it succeeds.

use super::{
    cast, desk,
    documents::Documents,
    narrator::{self, name_of},
    world::{DemoWorld, Error},
};
use crate::{
    client::{
        ClientError, ProgressListener,
        proposals::{BudgetLine, NewProposal, Summary, TeamMember},
        reviews::ReviewBody,
        verified::VersionChoice,
    },
    domain::{
        call::Phase,
        decision::Outcome,
        id::{CallId, MemberId, PartnerCode, ProgramId, ProposalId, Slug},
        member::{
            CallRole::{Decider, Observer, Officer, Reviewer},
            ConflictGround,
        },
    },
    wire::{
        call::{Call, ExtendCall},
        directory::CreateProgram,
    },
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What came of it, for the closing table and the commands to try.
#[derive(Debug, Clone)]
pub(super) struct Outcomes {
    /// Name in the story and identifier.
    pub proposals: Vec<(&'static str, ProposalId)>,
    /// The program of the bilateral call.
    pub bilateral_program: ProgramId,
}

/// A proposal to hand in.
struct Offer<'a> {
    name: &'static str,
    call: CallId,
    topic: &'static str,
    /// The lead first.
    members: &'a [&'static str],
    title: &'static str,
    about: &'static str,
    budget: &'a [(&'static str, u64)],
    with_dataset: bool,
}

/// The two calls.
#[derive(Clone, Copy)]
struct StoryCalls {
    bilateral: CallId,
    multilateral: CallId,
}

/// The three proposals.
#[derive(Clone, Copy)]
struct Offered {
    lodestone: ProposalId,
    furrow: ProposalId,
    second_life: ProposalId,
}

impl Offered {
    /// Who reviews which proposal, and the scores that they give.
    fn reviewers(self) -> [(ProposalId, &'static str, [f64; 3]); 6] {
        let Self { lodestone, furrow, second_life } = self;
        [
            (lodestone, "USA:carol", [4.5, 4.0, 3.5]),
            (lodestone, "ISR:maya", [4.0, 4.5, 4.0]),
            (furrow, "USA:carol", [3.5, 3.0, 4.0]),
            (furrow, "ISR:maya", [3.0, 2.5, 3.5]),
            (second_life, "KOR:minjun", [4.5, 4.5, 4.0]),
            (second_life, "GBR:harry", [4.0, 4.0, 4.5]),
        ]
    }
}

/// Plays both calls. `set_clock` moves the exchange's and the members' clock.
pub(super) async fn play(
    world: &DemoWorld,
    documents: &Documents,
    set_clock: &dyn Fn(Timestamp),
    progress: &Arc<dyn ProgressListener>,
) -> Result<Outcomes, Error> {
    let story = Story { world, documents, set_clock, progress, start: world.clock.now() };
    let (bilateral_program, calls) = story.publish_calls().await?;
    story.name_panel(calls).await?;
    let proposals = story.propose(calls).await?;
    let offered = Offered { lodestone: proposals[0].1, furrow: proposals[1].1, second_life: proposals[2].1 };
    story.stay_sealed(offered).await?;
    story.extend(calls).await?;
    story.declare_interests(calls, offered).await?;
    story.assign_reviewers(calls, offered).await?;
    story.hand_out_keys(calls).await?;
    story.review(calls, offered).await?;
    story.decide(calls, offered, &proposals).await?;
    Ok(Outcomes { proposals, bilateral_program })
}

/// What every act of the story takes place in.
struct Story<'a> {
    world: &'a DemoWorld,
    documents: &'a Documents,
    set_clock: &'a dyn Fn(Timestamp),
    progress: &'a Arc<dyn ProgressListener>,
    start: Timestamp,
}

impl Story<'_> {
    /// An instant of the story, days after its beginning.
    fn day(&self, days: i64) -> Timestamp {
        self.start.checked_add(SignedDuration::from_hours(24 * days)).expect("within the calendar")
    }

    fn deadline(&self) -> Timestamp {
        self.day(60)
    }

    /// Two programs, and a call under each.
    async fn publish_calls(&self) -> Result<(ProgramId, StoryCalls), Error> {
        let Self { world, .. } = *self;
        narrator::date(self.start, "Two calls are published");
        let bilateral_program = program(world, "Israel–United States industrial research", &["USA", "ISR"]).await?;
        let five_program = program(world, "Five partners on energy", &["USA", "ISR", "KOR", "GBR", "EU"]).await?;
        narrator::act("USA:dana", "sets up two programs, one of two nations and one of five");
        let bilateral = publish(world, bilateral_program, &cast::bilateral(self.start, self.deadline())).await?;
        let multilateral = publish(world, five_program, &cast::multilateral(self.start, self.deadline())).await?;
        Ok((bilateral_program, StoryCalls { bilateral: bilateral.id, multilateral: multilateral.id }))
    }

    /// Officers, reviewers, deciders and an observer of both calls.
    async fn name_panel(&self, calls: StoryCalls) -> Result<(), Error> {
        let Self { world, .. } = *self;
        let panel = [
            (calls.bilateral, "USA:olivia", Officer),
            (calls.bilateral, "ISR:noa", Officer),
            (calls.bilateral, "USA:carol", Reviewer),
            (calls.bilateral, "ISR:yael", Reviewer),
            (calls.bilateral, "ISR:maya", Reviewer),
            (calls.bilateral, "USA:frank", Decider),
            (calls.bilateral, "ISR:eitan", Decider),
            (calls.multilateral, "USA:carol", Reviewer),
            (calls.multilateral, "KOR:minjun", Reviewer),
            (calls.multilateral, "GBR:harry", Reviewer),
            (calls.multilateral, "EU:luca", Reviewer),
            (calls.multilateral, "KOR:seoyeon", Decider),
            (calls.multilateral, "GBR:isla", Decider),
            (calls.multilateral, "EU:sofia", Observer),
        ];
        for (call, member, role) in panel {
            // A nation with an officer in the call names its deciders itself.
            let officer = if member == "ISR:eitan" { "ISR:noa" } else { "USA:dana" };
            world.client(officer).grant_roles(call, &id(member), &BTreeSet::from([role])).await?;
        }
        narrator::act("USA:dana", "names officers, reviewers, deciders and an observer; ISR:noa the decider of Israel");
        Ok(())
    }

    /// Parties hand in three proposals: the name of each and its identifier.
    async fn propose(&self, calls: StoryCalls) -> Result<Vec<(&'static str, ProposalId)>, Error> {
        let Self { world, documents, progress, .. } = *self;
        (self.set_clock)(self.day(40));
        narrator::date(self.day(40), "Companies propose jointly");
        let offers = [
            Offer {
                name: "Lodestone",
                call: calls.bilateral,
                topic: "quantum-sensing",
                members: &["ISR:avi", "USA:bob"],
                title: "Lodestone: magnetic navigation without satellites",
                about: "Diamond magnetometers on small aircraft, with a map-matching filter.",
                budget: &[("Sensor heads", 640_000), ("Flight trials", 410_000)],
                with_dataset: true,
            },
            Offer {
                name: "Furrow",
                call: calls.bilateral,
                topic: "navigation",
                members: &["ISR:gal", "USA:kate"],
                title: "Furrow: robots that find their row at night",
                about: "Low-light navigation for field robots in orchards.",
                budget: &[("Platforms", 380_000), ("Field season", 220_000)],
                with_dataset: false,
            },
            Offer {
                name: "Second Life",
                call: calls.multilateral,
                topic: "battery-recycling",
                members: &["KOR:jiwoo", "GBR:grace", "EU:emma"],
                title: "Second Life: cells sorted and reused",
                about: "Fast impedance sorting of used cells and direct cathode recycling.",
                budget: &[("Sorting line", 900_000), ("Pilot plant", 1_200_000)],
                with_dataset: false,
            },
        ];
        let mut proposals = Vec::new();
        for offer in &offers {
            proposals.push((offer.name, hand_in(world, offer, documents, progress).await?));
        }
        Ok(proposals)
    }

    /// A colleague joins a party; an officer cannot open anything before the deadline.
    async fn stay_sealed(&self, offered: Offered) -> Result<(), Error> {
        let Self { world, progress, .. } = *self;
        let colleague = id("ISR:tamar");
        world.client("ISR:avi").invite(offered.lodestone, &colleague).await?;
        world.client("ISR:tamar").accept_invitation(offered.lodestone).await?;
        narrator::act("ISR:avi", "asks a colleague to join, ISR:tamar, who accepts and can open what ISR:avi can");
        refused(
            world
                .client("USA:dana")
                .open_document(
                    offered.lodestone,
                    &slug("work-plan"),
                    None,
                    VersionChoice::Standing,
                    &world.plan.dir.join("early.pdf"),
                    progress.clone(),
                )
                .await,
            "denied",
        )?;
        narrator::refusal("USA:dana", "tries to open Lodestone before the deadline", "the call is sealed");
        Ok(())
    }

    /// One nation gets another day.
    async fn extend(&self, calls: StoryCalls) -> Result<(), Error> {
        let Self { world, .. } = *self;
        let late = self.deadline().checked_sub(SignedDuration::from_mins(5))?;
        (self.set_clock)(late);
        narrator::date(late, "Five minutes to the deadline");
        let until = self.deadline().checked_add(SignedDuration::from_hours(24))?;
        let extension = ExtendCall {
            until: until.into(),
            reason: "nationwide network outage at the partner".into(),
            partner: Some("ISR".parse()?),
            proposal: None,
            reviews: false,
            dry_run: false,
        };
        world.client("USA:dana").api().extend_call(calls.bilateral, &extension).await?;
        narrator::act(
            "USA:dana",
            "extends the bilateral call by a day for Israel's parties; nothing opens before that has passed",
        );
        Ok(())
    }

    /// The calls open, and everybody declares their interests.
    async fn declare_interests(&self, calls: StoryCalls, offered: Offered) -> Result<(), Error> {
        let Self { world, .. } = *self;
        (self.set_clock)(self.day(63));
        narrator::date(self.day(63), "The calls open: interests first, then content");
        let dana = world.client("USA:dana");
        let open = dana.api().call(calls.bilateral).await?.body;
        expect(open.phase == Phase::Review, "the bilateral call is open")?;
        world.client("USA:olivia").declare(offered.lodestone, Some(ConflictGround::Employment)).await?;
        narrator::act("USA:olivia", "officer of the host, used to work for a party of Lodestone and says so");
        let seen = world.client("USA:olivia").api().all_proposals(Some(calls.bilateral)).await?;
        expect(seen.iter().all(|proposal| proposal.id != offered.lodestone), "a conflicted officer sees no row")?;
        let count: u32 =
            world.client("USA:olivia").api().call_progress(calls.bilateral).await?.proposals.values().sum();
        expect(count == 1, "a conflicted officer gets no count")?;
        narrator::refusal(
            "USA:olivia",
            "looks at the call again",
            "one proposal is there; of Lodestone no row, no count, no key",
        );
        for member in ["USA:dana", "ISR:noa", "USA:olivia", "USA:frank", "ISR:eitan"] {
            desk::declare_clear(world, member, calls.bilateral).await?;
        }
        for member in ["USA:dana", "KOR:seoyeon", "GBR:isla"] {
            desk::declare_clear(world, member, calls.multilateral).await?;
        }
        narrator::act(
            "officers and deciders",
            "answer one sheet each (`conflict sheet`): a signed statement for every proposal",
        );
        Ok(())
    }

    /// Reviewers are assigned, each where policies and interests let them read.
    async fn assign_reviewers(&self, calls: StoryCalls, offered: Offered) -> Result<(), Error> {
        let Self { world, .. } = *self;
        let dana = world.client("USA:dana");
        let pairs = [
            (offered.lodestone, "USA:carol"),
            (offered.lodestone, "ISR:yael"),
            (offered.furrow, "USA:carol"),
            (offered.furrow, "ISR:maya"),
        ];
        assign(world, calls.bilateral, &pairs).await?;
        narrator::act("USA:dana", "assigns reviewers, all lines or none");
        let suggested = desk::suggested(world, "USA:dana", calls.multilateral, 2).await?;
        let both = [(offered.second_life, id("KOR:minjun")), (offered.second_life, id("GBR:harry"))];
        expect(both.iter().all(|pair| suggested.contains(pair)), "a reviewer of each funding nation is suggested")?;
        dana.assign(calls.multilateral, &suggested, false).await?;
        narrator::act(
            "USA:dana",
            "has reviewers of the other call suggested (`assignment suggest`): one of each nation that funds it, \
             nobody who is barred",
        );
        refused(
            dana.assign(calls.multilateral, &[(offered.second_life, id("EU:luca"))], false).await,
            "lines-refused",
        )?;
        narrator::refusal(
            "USA:dana",
            "assigns EU:luca to Second Life",
            "Korea, an owner, releases to the panels of the funding nations and the lead only",
        );
        refused(world.client("USA:carol").manifest(offered.lodestone, VersionChoice::Standing).await, "not-declared")?;
        narrator::refusal("USA:carol", "opens Lodestone straight away", "a declaration of interests comes first");
        world.client("ISR:yael").declare(offered.lodestone, Some(ConflictGround::Collaboration)).await?;
        narrator::act("ISR:yael", "published with a party and says so: Lodestone is gone for her");
        assign(world, calls.bilateral, &[(offered.lodestone, "ISR:maya")]).await?;
        narrator::act("USA:dana", "assigns ISR:maya instead");
        Ok(())
    }

    /// Every reader gets a key.
    async fn hand_out_keys(&self, calls: StoryCalls) -> Result<(), Error> {
        let Self { world, .. } = *self;
        let dana = world.client("USA:dana");
        for (call, reviewer) in [
            (calls.bilateral, "USA:carol"),
            (calls.bilateral, "ISR:maya"),
            (calls.multilateral, "KOR:minjun"),
            (calls.multilateral, "GBR:harry"),
        ] {
            desk::declare_clear(world, reviewer, call).await?;
        }
        for call in [calls.bilateral, calls.multilateral] {
            let prepared = dana.prepare_panel(call).await?;
            expect(prepared.wrapped.refused.is_empty() && prepared.skipped.is_empty(), "every reader gets a key")?;
        }
        narrator::act(
            "USA:dana",
            "wraps keys on her own machine for everybody whom policy admits; the server saw none of them",
        );
        Ok(())
    }

    /// Sealed reviews.
    async fn review(&self, calls: StoryCalls, offered: Offered) -> Result<(), Error> {
        let Self { world, documents, progress, .. } = *self;
        (self.set_clock)(self.day(80));
        narrator::date(self.day(80), "Reviews, each closed to the others until one's own is in");
        let mut scores_of: BTreeMap<&str, BTreeMap<ProposalId, [f64; 3]>> = BTreeMap::new();
        for (proposal, reviewer, scores) in offered.reviewers() {
            desk::read(world, documents, proposal, reviewer, progress).await?;
            scores_of.entry(reviewer).or_default().insert(proposal, scores);
        }
        for (reviewer, scores) in &scores_of {
            let call = if scores.contains_key(&offered.second_life) { calls.multilateral } else { calls.bilateral };
            let handed_in = desk::review_by_form(world, reviewer, call, scores, progress).await?;
            expect(handed_in == scores.len(), "every review of a form is handed in")?;
        }
        let off_scale = body([5.5, 4.0, 4.0]);
        let error = world.client("USA:carol").submit_review(offered.lodestone, &off_scale).await;
        expect(error.is_err(), "a score off the scale is refused")?;
        narrator::act(
            "the panel",
            "fills in one form each (`review form`) and hands in six sealed reviews, each bound to the exact version \
             that was read",
        );
        narrator::refusal("USA:carol", "tries a score of 5.5", "off the scale of 0 to 5; refused on her own machine");
        let restricted = world
            .client("USA:carol")
            .open_document(
                offered.lodestone,
                &slug("shareholders"),
                Some(&code("ISR")),
                VersionChoice::Standing,
                &world.plan.dir.join("never.pdf"),
                progress.clone(),
            )
            .await;
        expect(restricted.is_err(), "a reviewer never opens a restricted slot")?;
        narrator::refusal(
            "USA:carol",
            "asks for Israel's shareholder list",
            "restricted to officers of the two nations",
        );
        Ok(())
    }

    /// Ranking, decisions and letters.
    async fn decide(
        &self,
        calls: StoryCalls,
        offered: Offered,
        proposals: &[(&'static str, ProposalId)],
    ) -> Result<(), Error> {
        let Self { world, .. } = *self;
        let dana = world.client("USA:dana");
        (self.set_clock)(self.day(100));
        narrator::date(self.day(100), "Ranking and decision");
        for (call, name) in [(calls.bilateral, "bilateral call"), (calls.multilateral, "five partners")] {
            let ranking = dana.ranking(call).await?;
            expect(ranking.invalid.is_empty(), "every review verifies")?;
            narrator::ranking(name, &ranking.lines, proposals);
            let plan = dana.plan_ranking(call).await?;
            dana.send_ranking(call, &plan).await?;
        }
        let sent = world.client("USA:frank").sent_ranking(calls.bilateral).await?;
        expect(sent.ranking.lines.len() == 2 && sent.ranking.closed.is_empty(), "a decider opens what was sent")?;
        narrator::act("USA:dana", "sends both rankings, sealed to those who decide (`ranking send`)");
        let decisions: [(ProposalId, Outcome, &[&str]); 3] = [
            (offered.lodestone, Outcome::Fund, &["USA:frank", "ISR:eitan"]),
            (offered.furrow, Outcome::Decline, &["USA:frank", "ISR:eitan"]),
            (offered.second_life, Outcome::Fund, &["KOR:seoyeon", "GBR:isla"]),
        ];
        for decider in ["USA:frank", "ISR:eitan"] {
            let sheet = [(offered.lodestone, Outcome::Fund), (offered.furrow, Outcome::Decline)];
            desk::decide_by_sheet(world, decider, calls.bilateral, &sheet).await?;
        }
        for decider in ["KOR:seoyeon", "GBR:isla"] {
            desk::decide_by_sheet(world, decider, calls.multilateral, &[(offered.second_life, Outcome::Fund)]).await?;
        }
        narrator::act("each decider", "fills in one sheet and signs all of its lines (`decision sign --from`)");
        for (proposal, outcome, deciders) in decisions {
            let name = name_of(proposals, proposal);
            narrator::act(&deciders.join(" and "), &format!("sign for their nations: {outcome} {name}"));
        }
        refused(world.client("ISR:eitan").unsign_decision(offered.furrow).await, "decision-final")?;
        narrator::refusal(
            "ISR:eitan",
            "wants his signature on Furrow back",
            "all funders have signed; the decision is final",
        );
        let mut letters = 0;
        for call in [calls.bilateral, calls.multilateral] {
            letters += desk::letters_by_template(world, "USA:dana", call, self.progress).await?;
        }
        expect(letters == decisions.len(), "every decision gets its letter")?;
        let letters = world.client("ISR:tamar").api().letters(offered.lodestone).await?;
        let letter = world.client("ISR:tamar").read_letter(offered.lodestone, letters[0].id).await?;
        narrator::act(
            "USA:dana",
            "sends sealed letters to the parties, made of one template (`letter send --template`)",
        );
        narrator::act("ISR:tamar", &format!("opens Lodestone's letter: “{}”", letter.text.trim()));
        Ok(())
    }
}

async fn program(world: &DemoWorld, name: &str, partners: &[&str]) -> Result<ProgramId, Error> {
    let partners: BTreeSet<PartnerCode> = partners.iter().map(|partner| code(partner)).collect();
    let body = CreateProgram { name: name.to_owned(), lead: code("USA"), partners };
    Ok(world.client("USA:dana").api().create_program(&body).await?.id)
}

/// Drafts and publishes a call.
pub(super) async fn publish(
    world: &DemoWorld,
    program: ProgramId,
    text: &crate::wire::call::CallText,
) -> Result<Call, Error> {
    let dana = world.client("USA:dana");
    let draft = dana.draft_call(program, text).await?;
    let call = dana.publish_call(draft.id).await?;
    narrator::act("USA:dana", &format!("publishes “{}”", text.title));
    narrator::deadline(call.deadline_at.0, &world.pki);
    Ok(call)
}

async fn hand_in(
    world: &DemoWorld,
    offer: &Offer<'_>,
    documents: &Documents,
    progress: &Arc<dyn ProgressListener>,
) -> Result<ProposalId, Error> {
    let lead = world.client(offer.members[0]);
    let mut parties: BTreeMap<PartnerCode, BTreeSet<MemberId>> = BTreeMap::new();
    for member in offer.members {
        parties.entry(id(member).partner().clone()).or_default().insert(id(member));
    }
    let new = NewProposal { call: offer.call, topic: Some(slug(offer.topic)), parties };
    let begun = lead.create_proposal(&new).await?;
    narrator::act(offer.members[0], &format!("begins {} with {}", offer.name, offer.members[1..].join(" and ")));
    world.join_all(&begun).await?;
    let accepts =
        if offer.members.len() == 2 { "accepts by their own signature" } else { "accept, each by their own signature" };
    narrator::act(&offer.members[1..].join(" and "), accepts);
    let proposal = begun.id;
    lead.put_summary(proposal, &summary(offer), progress.clone()).await?;
    lead.put_document(proposal, &slug("work-plan"), &documents.work_plan, None, progress.clone()).await?;
    lead.put_document(proposal, &slug("budget"), &documents.budget, None, progress.clone()).await?;
    if offer.with_dataset {
        lead.put_document(proposal, &slug("dataset"), &documents.dataset, None, progress.clone()).await?;
        narrator::stored(&documents.dataset)?;
    }
    let call = lead.api().call(offer.call).await?.body;
    if call.text.slots.iter().any(|slot| slot.name.as_str() == "shareholders") {
        for member in offer.members {
            let file = &documents.shareholders;
            world.client(member).put_document(proposal, &slug("shareholders"), file, None, progress.clone()).await?;
        }
        narrator::act("each party", "adds its shareholder list, which the other cannot open");
    }
    for member in offer.members {
        let client = world.client(member);
        let plan = client.plan_signature(proposal).await?;
        client.sign(&plan).await?;
    }
    let handed_in = lead.api().proposal(proposal).await?;
    expect(handed_in.version == Some(1), "the proposal stands once every party has signed")?;
    narrator::act("every party", &format!("signs the manifest; {} is handed in", offer.name));
    Ok(proposal)
}

fn summary(offer: &Offer<'_>) -> Summary {
    let team = offer.members.iter().map(|member| TeamMember {
        name: (*member).to_owned(),
        organisation: "party".to_owned(),
        role: None,
    });
    let budget = offer.budget.iter().map(|(item, amount)| BudgetLine {
        item: (*item).to_owned(),
        party: None,
        amount: *amount,
        currency: "USD".to_owned(),
    });
    Summary {
        title: offer.title.to_owned(),
        abstract_text: offer.about.to_owned(),
        team: team.collect(),
        budget: budget.collect(),
    }
}

async fn assign(world: &DemoWorld, call: CallId, pairs: &[(ProposalId, &str)]) -> Result<(), Error> {
    let pairs: Vec<_> = pairs.iter().map(|(proposal, reviewer)| (*proposal, id(reviewer))).collect();
    let tried = world.client("USA:dana").assign(call, &pairs, true).await?;
    expect(tried.faults.is_empty(), "the dry run finds no fault")?;
    world.client("USA:dana").assign(call, &pairs, false).await?;
    Ok(())
}

fn body(scores: [f64; 3]) -> ReviewBody {
    let names = ["excellence", "impact", "implementation"];
    ReviewBody {
        scores: names.iter().zip(scores).map(|(name, score)| (slug(name), score)).collect(),
        comments: names.iter().map(|name| (slug(name), "Sound and well argued.".to_owned())).collect(),
        overall: "A proposal to be taken seriously.".to_owned(),
        recommendation: None,
    }
}

/// A step that must be refused with this slug; anything else ends the demonstration.
fn refused<T>(result: Result<T, ClientError>, slug: &str) -> Result<(), Error> {
    match result {
        Err(error) if error.slug() == Some(slug) => Ok(()),
        Err(error) => Err(format!("expected a refusal `{slug}`, got: {error}").into()),
        Ok(_) => Err(format!("expected a refusal `{slug}`, but it succeeded").into()),
    }
}

fn expect(holds: bool, what: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(format!("the demonstration expected that {what}, and it is not so").into()) }
}

fn id(member: &str) -> MemberId {
    member.parse().expect("members of the cast have good names")
}

fn code(partner: &str) -> PartnerCode {
    partner.parse().expect("partners of the cast have good codes")
}

fn slug(name: &str) -> Slug {
    name.parse().expect("names in the story are short names")
}
