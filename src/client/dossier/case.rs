//! What parties did with a proposal, checked: who joined, what they signed and when, and what stands by it.

use super::{
    DossierCase, DossierEntry, DossierLine, DossierPart,
    cards::Vouchers,
    history::{History, OwnDeadlines, unreadable},
    report::Ledger,
    roll::Roll,
    statement_of,
};
use crate::{
    client::{Result, verify::invalid},
    domain::{
        decision::Outcome,
        entry::EntryKind,
        id::{DecisionId, MemberId, PartnerCode, Sha256},
        member::{CallRole, Declared},
    },
    sealing::statement::{
        AcceptanceStatement, InvitationStatement, LabelStatement, Manifest, STATED_AHEAD, Signed, Statement,
        verify_signed,
    },
    wire::entry::payloads::Payload,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What everything in a call is compared with.
pub(super) struct CallContext<'d> {
    pub(super) vouchers: &'d Vouchers,
    pub(super) history: &'d History,
    /// None if who had which role is not shown.
    pub(super) roll: Option<&'d Roll>,
    pub(super) exported_at: Timestamp,
}

/// Something that was done about a proposal.
pub(super) struct CaseAct<'d> {
    kind: EntryKind,
    pub(super) at: Timestamp,
    pub(super) by: Option<&'d MemberId>,
    /// Of the entry that records it.
    payload: Option<Payload>,
    line: Option<&'d DossierLine>,
}

/// A version, and who signed it so far.
pub(super) struct CaseVersion {
    pub(super) manifest: Manifest,
    signed_by: BTreeSet<PartnerCode>,
}

/// What is known of a decision so far.
#[derive(Default)]
pub(super) struct CaseDecision {
    pub(super) outcome: Option<Outcome>,
    pub(super) signed_by: BTreeMap<PartnerCode, MemberId>,
}

/// A proposal while what was done about it is followed.
pub(super) struct CaseCheck<'d> {
    pub(super) call: &'d CallContext<'d>,
    pub(super) case: &'d DossierCase,
    deadlines: OwnDeadlines,
    pub(super) versions: BTreeMap<Sha256, CaseVersion>,
    /// The digest of the version that stands.
    pub(super) handed_in: Option<Sha256>,
    invitations: BTreeSet<Sha256>,
    /// By member: which statement was the last one, its digest, and what holds by it.
    pub(super) declared: BTreeMap<MemberId, (u32, Sha256, Declared)>,
    pub(super) assigned: BTreeSet<MemberId>,
    pub(super) decisions: BTreeMap<Sha256, CaseDecision>,
    pub(super) decisions_by_id: BTreeMap<DecisionId, Sha256>,
    /// What each decision says that became final, in their order; nothing for one that rescinds.
    pub(super) became_final: Vec<Option<Outcome>>,
}

impl<'d> CaseAct<'d> {
    /// All of a proposal, in the order in which they were recorded.
    fn all(case: &'d DossierCase, exported_at: Timestamp) -> Vec<Self> {
        let mut lines: Vec<&DossierLine> = case.statements.iter().collect();
        // Parties and declarations come before what rests on them at the same instant.
        lines.sort_by_key(|line| DossierPart::of(line.kind));
        let line = |line: &'d DossierLine| Self {
            kind: line.kind,
            at: line.at.map_or(exported_at, |at| at.0),
            by: line.by.as_ref(),
            payload: None,
            line: Some(line),
        };
        let entry = |entry: &'d DossierEntry| Self {
            kind: entry.kind,
            at: entry.at.0,
            by: entry.actor.as_ref(),
            payload: entry.payload(),
            line: None,
        };
        let mut acts: Vec<Self> = lines.into_iter().map(line).chain(case.entries.iter().map(entry)).collect();
        acts.sort_by_key(|act| act.at);
        acts
    }

    pub(super) fn statement(&self) -> Result<&str> {
        let statement = match (&self.payload, self.line) {
            (Some(payload), _) => statement_of(payload),
            (None, line) => line.map(|line| line.statement.as_str()),
        };
        statement.ok_or_else(|| invalid(format!("nothing signed is with an entry of the kind `{}`", self.kind)))
    }

    pub(super) fn payload(&self) -> Option<&Payload> {
        self.payload.as_ref()
    }

    pub(super) fn kind(&self) -> EntryKind {
        self.kind
    }

    /// Who did it.
    pub(super) fn member(&self) -> Result<&'d MemberId> {
        self.by.ok_or_else(|| invalid("nobody is known to have signed it"))
    }
}

impl<'d> CaseCheck<'d> {
    /// Checks a proposal.
    pub(super) fn run(call: &'d CallContext<'d>, case: &'d DossierCase, ledger: &mut Ledger) -> Result<()> {
        let is_logged = case.entries.iter().any(|entry| entry.kind == EntryKind::ProposalSubmitted);
        let mut check = Self {
            call,
            case,
            deadlines: OwnDeadlines::read(case)?,
            versions: BTreeMap::new(),
            handed_in: if is_logged { None } else { case.manifest_sha256 },
            invitations: BTreeSet::new(),
            declared: BTreeMap::new(),
            assigned: BTreeSet::new(),
            decisions: BTreeMap::new(),
            decisions_by_id: BTreeMap::new(),
            became_final: Vec::new(),
        };
        let place = case.reference.to_string();
        let acts = CaseAct::all(case, call.exported_at);
        let logged: HashSet<&str> =
            acts.iter().filter(|act| act.line.is_none()).filter_map(|act| act.statement().ok()).collect();
        for act in &acts {
            // What was taken back on the log would count again.
            let is_again = act.line.is_some_and(|line| logged.contains(line.statement.as_str()));
            let checked = if is_again {
                Err(invalid("a statement stands in the log and again beside it"))
            } else {
                check.act(act)
            };
            match DossierPart::of(act.kind) {
                Some(part) => ledger.statement(part, &place, checked),
                None => ledger.require(&place, checked),
            }
        }
        ledger.require(&place, check.end());
        Ok(())
    }

    /// Whether all of a part is shown, so that what is missing is missing.
    pub(super) fn shows(&self, part: DossierPart) -> bool {
        !self.case.not_shown.contains(&part)
    }

    fn act(&mut self, act: &CaseAct<'d>) -> Result<()> {
        if act.payload.is_none() && act.line.is_none() {
            return Err(unreadable(act.kind));
        }
        match act.kind {
            EntryKind::MemberInvited => self.invitation(act),
            EntryKind::MemberJoined => self.acceptance(act),
            EntryKind::ManifestSigned => self.manifest(act),
            EntryKind::LabelSigned => self.label(act),
            EntryKind::ProposalSubmitted => self.submitted(act),
            _ => self.judging(act),
        }
    }

    /// A statement of this act, signed by who is said to have done it.
    pub(super) fn signed<T: Statement>(&self, act: &CaseAct<'_>) -> Result<Signed<T>> {
        let signed: Signed<T> = verify_signed(act.statement()?)?;
        self.check_signer(&signed, act)?;
        Ok(signed)
    }

    /// Refuses a statement that is not by who is said to have done it, by a key card and a certificate of that time.
    pub(super) fn check_signer<T: Statement>(&self, signed: &Signed<T>, act: &CaseAct<'_>) -> Result<()> {
        let (by, vouchers) = (act.member()?, self.call.vouchers);
        if signed.statement.stated_at().is_some_and(|stated_at| stated_at > act.at + STATED_AHEAD) {
            return Err(invalid("a statement was recorded before the instant at which its signer says to have signed"));
        }
        // Beside the log, all that is known of a party's signature is when the last party had signed.
        let is_of_party = matches!(act.kind, EntryKind::ManifestSigned | EntryKind::LabelSigned);
        let card = if act.line.is_some() && is_of_party {
            vouchers.card_until(signed, by, act.at)
        } else {
            vouchers.card(signed, by, act.at)
        };
        card.map(drop)
    }

    /// Refuses somebody who had not the role then, if it is known who had which.
    pub(super) fn check_role(&self, member: &MemberId, role: CallRole, at: Timestamp) -> Result<()> {
        if self.call.roll.is_none_or(|roll| roll.had(member, role, at)) {
            return Ok(());
        }
        Err(invalid(format!(
            "`{member}` signed as {role}, but did not have that role at {at:.0}, as the signed roles show"
        )))
    }

    /// Refuses a digest of a version that no party signed, if it is known what they signed.
    pub(super) fn check_version(&self, manifest: &Sha256, what: &str) -> Result<()> {
        if !self.shows(DossierPart::Manifests) || self.versions.contains_key(manifest) {
            return Ok(());
        }
        Err(invalid(format!("{what} is about a version that no party signed")))
    }

    fn invitation(&mut self, act: &CaseAct<'_>) -> Result<()> {
        let signed: Signed<InvitationStatement> = self.signed(act)?;
        self.invitations.insert(signed.payload_sha256);
        let is_party = self.case.parties.contains(act.member()?.partner());
        check_about(is_party && signed.statement.proposal == self.case.proposal, "an invitation")
    }

    fn acceptance(&mut self, act: &CaseAct<'_>) -> Result<()> {
        let AcceptanceStatement { proposal, member, invitation_sha256, .. } = self.signed(act)?.statement;
        check_about(proposal == self.case.proposal && Some(&member) == act.by, "an acceptance")?;
        if self.shows(DossierPart::Invitations) && !self.invitations.contains(&invitation_sha256) {
            return Err(invalid(format!("`{member}` accepted an invitation that the dossier does not have")));
        }
        Ok(())
    }

    fn manifest(&mut self, act: &CaseAct<'_>) -> Result<()> {
        let (by, case) = (act.member()?, self.case);
        let signed: Signed<Manifest> = verify_signed(act.statement()?)?;
        let (manifest, digest) = (&signed.statement, signed.payload_sha256);
        let fits = manifest.call == self.call.history.call()
            && manifest.proposal == case.proposal
            && manifest.reference == case.reference
            && manifest.parties == case.parties
            && manifest.parties.contains(by.partner());
        check_about(fits, "a manifest")?;
        let mut arrived_at = act.at;
        if let Some(Payload::ManifestSigned(entry)) = act.payload() {
            let fits = entry.partner == *by.partner() && entry.manifest_sha256 == digest;
            check_about(fits && entry.version == manifest.version, "a manifest")?;
            arrived_at = entry.arrived_at.0;
            if arrived_at > act.at {
                return Err(invalid("a party's signature was recorded before it arrived"));
            }
        }
        self.check_signer(&signed, act)?;
        self.call.history.check_text(&manifest.call_text_sha256, act.at)?;
        self.call.history.check_in_time(&self.deadlines, case, arrived_at)?;
        let (party, manifest) = (by.partner().clone(), signed.statement);
        let version = self.versions.entry(digest);
        version.or_insert_with(|| CaseVersion { manifest, signed_by: BTreeSet::new() }).signed_by.insert(party);
        Ok(())
    }

    fn label(&mut self, act: &CaseAct<'_>) -> Result<()> {
        let LabelStatement { proposal, manifest_sha256, .. } = self.signed(act)?.statement;
        let is_party = self.case.parties.contains(act.member()?.partner());
        check_about(proposal == self.case.proposal && is_party, "a label")?;
        self.check_version(&manifest_sha256, "a label")
    }

    fn submitted(&mut self, act: &CaseAct<'_>) -> Result<()> {
        let Some(Payload::ProposalSubmitted(entry)) = act.payload() else { return Ok(()) };
        self.handed_in = Some(entry.manifest_sha256);
        self.check_signed_by_all(&entry.manifest_sha256)
    }

    /// Refuses a version that stands without the signature of each party, if the signatures are shown.
    fn check_signed_by_all(&self, manifest: &Sha256) -> Result<()> {
        if !self.shows(DossierPart::Manifests) {
            return Ok(());
        }
        let signed_by = self.versions.get(manifest).map(|version| &version.signed_by);
        let missing = self.case.parties.iter().find(|party| signed_by.is_none_or(|signed| !signed.contains(*party)));
        missing.map_or(Ok(()), |party| {
            Err(invalid(format!(
                "a version stands, and the dossier has no signature of `{party}` under it that verifies"
            )))
        })
    }

    /// What holds in the end, as the exchange says and as it was signed.
    fn end(&self) -> Result<()> {
        if let Some(manifest) = &self.case.manifest_sha256 {
            self.check_signed_by_all(manifest)?;
            let version = self.versions.get(manifest).map(|version| version.manifest.version);
            if version.is_some() && version != self.case.version {
                return Err(invalid("the version that stands has another number than its parties signed"));
            }
            let is_other = self.handed_in.is_some_and(|handed_in| handed_in != *manifest);
            if is_other {
                return Err(invalid("another version stands than the one that was handed in last"));
            }
        }
        self.check_outcome()
    }
}

/// Refuses a statement that is about something else than the place where it is says.
pub(super) fn check_about(is_this_one: bool, what: &str) -> Result<()> {
    if is_this_one { Ok(()) } else { Err(invalid(format!("{what} is about something else than the dossier says"))) }
}
