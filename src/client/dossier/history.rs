//! The texts that a call had, and who had until when: what proposals and signatures are compared with.

use super::{Dossier, DossierCase, DossierEntry, DossierPart, MOST_EXTENSIONS, cards::Vouchers, report::Ledger};
use crate::{
    client::{ClientError, Result, verify::invalid},
    domain::{
        call::{self as rules, Extension, ExtensionScope, LEAST_TIME, LetterAudience},
        entry::EntryKind,
        id::{CallId, MemberId, PartnerCode, ProposalId, Sha256},
    },
    reading,
    sealing::statement::CallPublication,
    wire::{call::CallText, entry::payloads::Payload},
};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// What was published, in its order.
pub(super) struct History {
    call: CallId,
    lead: PartnerCode,
    texts: Vec<PublishedText>,
    /// Of everybody's deadline or that of a partner.
    extensions: Vec<MovedDeadline>,
}

struct PublishedText {
    at: Timestamp,
    version: u32,
    sha256: Sha256,
    rules: rules::CallText,
}

/// A deadline that was moved, and when that was taken back.
struct MovedDeadline {
    number: u32,
    at: Timestamp,
    extension: Extension,
    ended_at: Option<Timestamp>,
}

impl History {
    pub(super) fn read(dossier: &Dossier, vouchers: &Vouchers, ledger: &mut Ledger) -> Result<Self> {
        let extensions = moved(&dossier.entries, None)?;
        let mut history = Self { call: dossier.call, lead: dossier.lead.clone(), texts: Vec::new(), extensions };
        let place = dossier.code.as_str();
        for entry in &dossier.entries {
            let published = match entry.payload() {
                Some(Payload::CallPublished(entry)) => entry.publication,
                Some(Payload::CallAmended(entry)) => entry.publication,
                Some(_) => continue,
                None => {
                    ledger.require(place, Err(unreadable(entry.kind)));
                    continue;
                }
            };
            let checked = history.add(&published, entry.actor.as_ref(), entry.at.0, dossier, vouchers);
            ledger.statement(DossierPart::Texts, place, checked);
        }
        let is_in_force = dossier.entries.iter().rev().find_map(|entry| match entry.payload()? {
            Payload::CallPublished(entry) => Some(entry.publication == dossier.publication),
            Payload::CallAmended(entry) => Some(entry.publication == dossier.publication),
            _ => None,
        });
        if is_in_force != Some(true) {
            ledger.require(place, Err(invalid("the publication in force is not the last one of the log")));
        }
        Ok(history)
    }

    fn add(
        &mut self,
        jws: &str,
        by: Option<&MemberId>,
        at: Timestamp,
        dossier: &Dossier,
        vouchers: &Vouchers,
    ) -> Result<()> {
        let said: CallPublication = vouchers.signed(jws, by, at)?.statement;
        if said.call != self.call {
            return Err(invalid("a publication is of another call"));
        }
        if said.host != self.lead || by.is_none_or(|by| *by.partner() != self.lead) {
            return Err(invalid(format!("a publication is not signed for `{}`, which leads", self.lead)));
        }
        let before = self.texts.last().map_or(0, |text| text.version);
        if said.version != before + 1 {
            return Err(invalid(format!("version {} of the text does not follow {before}", said.version)));
        }
        let text: CallText = reading::typed_as_signed(said.text)
            .map_err(|fault| invalid(format!("this version does not understand the text of the call: {fault}")))?;
        let rules = text.to_domain()?;
        if rules.code != dossier.code {
            return Err(invalid(format!("a text has the code `{}`, and the dossier `{}`", rules.code, dossier.code)));
        }
        if self.texts.last().is_some_and(|before| before.rules.letters != rules.letters) {
            return Err(invalid("an amendment changes whom letters are for"));
        }
        self.texts.push(PublishedText { at, version: said.version, sha256: said.text_sha256, rules });
        Ok(())
    }

    pub(super) fn call(&self) -> CallId {
        self.call
    }

    /// Refuses what was signed under a text that was not published by then.
    pub(super) fn check_text(&self, sha256: &Sha256, at: Timestamp) -> Result<()> {
        if self.texts.iter().any(|text| text.sha256 == *sha256 && text.at <= at) {
            return Ok(());
        }
        Err(invalid("something is signed under a text of the call that was not published by then"))
    }

    /// Who must sign each decision, by the text in force then.
    pub(super) fn funders(&self, at: Timestamp) -> BTreeSet<PartnerCode> {
        self.in_force(at).map(|text| text.rules.funders.clone()).unwrap_or_default()
    }

    /// Whom letters are for, by the text in force then.
    pub(super) fn letters(&self, at: Timestamp) -> LetterAudience {
        self.in_force(at).map(|text| text.rules.letters).unwrap_or_default()
    }

    fn in_force(&self, at: Timestamp) -> Option<&PublishedText> {
        self.texts.iter().rev().find(|text| text.at <= at)
    }

    /// Refuses what arrived after every deadline that the dossier knows for the proposal.
    pub(super) fn check_in_time(&self, deadlines: &OwnDeadlines, case: &DossierCase, at: Timestamp) -> Result<()> {
        let Some(text) = self.in_force(at) else {
            return Err(invalid("a party signed before the call was published"));
        };
        let moved = self.extensions.iter().chain(&deadlines.0).filter(|moved| moved.at <= at);
        let extensions: Vec<Extension> = moved.map(|moved| moved.until(at)).collect();
        let deadline = text.rules.schedule.deadline_for(&extensions, Some((case.proposal, &case.parties)));
        if at <= deadline {
            return Ok(());
        }
        Err(invalid(format!("a party's signature arrived at {at:.0}, after the deadline of {deadline:.0}")))
    }
}

/// The deadlines that were moved for one proposal.
pub(super) struct OwnDeadlines(Vec<MovedDeadline>);

impl OwnDeadlines {
    pub(super) fn read(case: &DossierCase) -> Result<Self> {
        Ok(Self(moved(&case.entries, Some(case.proposal))?))
    }
}

impl MovedDeadline {
    /// As it held then. Once it is taken back, nobody is left less time than is promised.
    fn until(&self, at: Timestamp) -> Extension {
        let ended = self.ended_at.filter(|ended| *ended <= at);
        let least = ended.map(|ended| ended.checked_add(LEAST_TIME).unwrap_or(Timestamp::MAX));
        let until = least.map_or(self.extension.until, |least| least.min(self.extension.until));
        Extension { until, ..self.extension.clone() }
    }
}

/// The deadlines that these entries moved: of the proposal, or of everybody and of partners.
fn moved(entries: &[DossierEntry], proposal: Option<ProposalId>) -> Result<Vec<MovedDeadline>> {
    let mut all: Vec<MovedDeadline> = Vec::new();
    for entry in entries {
        match entry.payload() {
            Some(Payload::CallExtended(made) | Payload::ProposalExtended(made)) if !made.reviews => {
                let scope = match (proposal, made.partner) {
                    (Some(proposal), _) => ExtensionScope::Proposal(proposal),
                    (None, Some(partner)) => ExtensionScope::Partner(partner),
                    (None, None) => ExtensionScope::Everyone,
                };
                let extension = Extension { scope, until: made.until.0 };
                all.push(MovedDeadline { number: made.number, at: entry.at.0, extension, ended_at: None });
            }
            Some(Payload::ExtensionWithdrawn(back) | Payload::ProposalExtensionWithdrawn(back)) => {
                if let Some(moved) = all.iter_mut().find(|moved| moved.number == back.number) {
                    moved.ended_at = Some(entry.at.0);
                }
            }
            _ => {}
        }
        if all.len() > MOST_EXTENSIONS {
            return Err(invalid(format!("the dossier has more than {MOST_EXTENSIONS} extensions in one place")));
        }
    }
    Ok(all)
}

/// An entry whose payload is not of its kind.
pub(super) fn unreadable(kind: EntryKind) -> ClientError {
    invalid(format!("an entry of the kind `{kind}` cannot be read"))
}
