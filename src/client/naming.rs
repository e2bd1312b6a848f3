//! Finds what people name: a proposal by its reference, a call by its code, a program by its name, each by its identifier or the beginning of
//! one, too.
//!
//! What was typed is checked here before the exchange is asked anything. What the exchange finds is compared with what was signed, wherever
//! there is a signature: it must not lead a member to another proposal than the one that they mean.

use super::{
    Client, ClientError, Result,
    api::Paging,
    pages::Pages,
    verified::VerifiedCall,
    verify::{check_reference, invalid},
};
use crate::{
    domain::{
        id::{CallId, DocumentId, IdBeginning, IdError, MemberId, ProgramId, ProposalId, ReviewId, WrappedKeyId},
        name::is_same,
        proposal::Sort,
        reference::{CallCode, Reference, ReferenceError},
    },
    wire::{
        call::Call,
        decision::Letter,
        directory::Program,
        page::{MAX_PAGE, Page},
        proposal::{Filter, Proposal},
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    str::FromStr,
    sync::Arc,
};

/// How a person names a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProposalName {
    Id(ProposalId),
    Reference(Reference),
    Begins(IdBeginning),
}

/// How a person names a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallName {
    Id(CallId),
    Code(CallCode),
    Begins(IdBeginning),
}

/// How a person names a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramName {
    Id(ProgramId),
    /// Its name, or the beginning of that or of its identifier.
    Text(String),
}

/// How a person names what has no other name than its identifier, such as a letter: by that, or by its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdName<T> {
    Id(T),
    Begins(IdBeginning),
}

/// A proposal that was named, and how people are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundProposal {
    pub id: ProposalId,
    /// None where the identifier itself was typed: nobody asked the exchange.
    pub reference: Option<Reference>,
}

/// A review that was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundReview {
    pub id: ReviewId,
    /// None where the identifier itself was typed: nobody asked the exchange.
    pub proposal: Option<ProposalId>,
}

impl fmt::Display for FoundProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reference {
            Some(reference) => fmt::Display::fmt(reference, f),
            None => fmt::Display::fmt(&self.id, f),
        }
    }
}

impl From<&Proposal> for FoundProposal {
    fn from(proposal: &Proposal) -> Self {
        Self { id: proposal.id, reference: Some(proposal.reference.clone()) }
    }
}

macro_rules! named_by_identifiers {
    ($($id:ident)*) => {$(
        impl FromStr for IdName<$id> {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                match text.trim().parse() {
                    Ok(id) => Ok(Self::Id(id)),
                    Err(_) => IdBeginning::typed($id::PREFIX, text).map(Self::Begins),
                }
            }
        }
    )*};
}

named_by_identifiers! { DocumentId WrappedKeyId }

impl<T: PartialEq + fmt::Display> IdName<T> {
    /// Whether this one may be meant.
    #[must_use]
    pub fn means(&self, id: &T) -> bool {
        match self {
            Self::Id(meant) => meant == id,
            Self::Begins(beginning) => beginning.begins(&id.to_string()),
        }
    }
}

impl IdName<DocumentId> {
    /// The letter that is meant among these.
    ///
    /// # Errors
    /// When it is none of them, or could be several.
    pub fn among(&self, letters: &[Letter]) -> Result<DocumentId> {
        let found = letters.iter().map(|letter| letter.id).filter(|id| self.means(id)).collect();
        one_of(found, "letter", &self.to_string(), |id| format!("`{id}`"))
    }
}

impl<T: fmt::Display> fmt::Display for IdName<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => fmt::Display::fmt(id, f),
            Self::Begins(beginning) => fmt::Display::fmt(beginning, f),
        }
    }
}

impl FromStr for ProposalName {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        match identified(ProposalId::PREFIX, text) {
            Some(Ok(Identified::Id(id))) => Ok(Self::Id(id)),
            Some(Ok(Identified::Begins(beginning))) => Ok(Self::Begins(beginning)),
            Some(Err(error)) => Err(error.into()),
            None => Reference::typed(text).map(Self::Reference),
        }
    }
}

impl FromStr for CallName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match identified(CallId::PREFIX, text) {
            Some(Ok(Identified::Id(id))) => Ok(Self::Id(id)),
            Some(Ok(Identified::Begins(beginning))) => Ok(Self::Begins(beginning)),
            Some(Err(error)) => Err(error),
            None => CallCode::typed(text).map(Self::Code),
        }
    }
}

impl FromStr for ProgramName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let text = text.trim();
        Ok(text.parse().map_or_else(|_| Self::Text(text.to_owned()), Self::Id))
    }
}

/// An identifier, or the beginning of one.
enum Identified<T> {
    Id(T),
    Begins(IdBeginning),
}

/// What an identifier with this prefix is named by; none if the text means something else. The letters of an identifier begin with a digit
/// until the year 10889, and codes with a letter.
fn identified<T: FromStr>(prefix: &str, text: &str) -> Option<Result<Identified<T>, IdError>> {
    let text = text.trim();
    let is_meant = text.contains('_') || text.starts_with(|c: char| c.is_ascii_digit());
    is_meant.then(|| match text.parse() {
        Ok(id) => Ok(Identified::Id(id)),
        Err(_) => IdBeginning::typed(prefix, text).map(Identified::Begins),
    })
}

impl Client {
    /// The proposal that is meant. By reference or beginning the exchange is asked; what the parties signed is checked as far as the member
    /// may read it.
    ///
    /// # Errors
    /// When there is none that the exchange shows, when there are several, or when its parties signed it under another reference.
    pub async fn find_proposal(&self, name: &ProposalName) -> Result<FoundProposal> {
        let filter = match name {
            ProposalName::Id(id) => return Ok(FoundProposal { id: *id, reference: None }),
            ProposalName::Reference(reference) => Filter { reference: Some(reference.clone()), ..Filter::default() },
            ProposalName::Begins(beginning) => Filter { begins: Some(beginning.clone()), ..Filter::default() },
        };
        let found = the_one(name, self.proposals_of(&filter).await?)?;
        let call = self.call(found.call).await?;
        self.meant(&found, &call).await
    }

    /// The same of a proposal that may be hidden since it was shown here, such as one that was declined: then as it was called then.
    pub async fn find_proposal_shown_before(&self, name: &ProposalName) -> Result<FoundProposal> {
        let refused = match self.find_proposal(name).await {
            Err(refused @ ClientError::NothingNamed { .. }) => refused,
            found => return found,
        };
        let ProposalName::Reference(reference) = name else { return Err(refused) };
        for id in self.home().seen_states()? {
            let Some(seen) = self.home().seen_state(id)? else { continue };
            if seen.reference.as_ref() == Some(reference) && self.api().witness().has_left(&seen) {
                return Ok(FoundProposal { id, reference: seen.reference });
            }
        }
        Err(refused)
    }

    /// The proposals that are meant, in the order of their names, each found as [`Client::find_proposal`] finds one. Many of one call are
    /// looked up in its list, each once, and their call is verified once.
    ///
    /// # Errors
    /// As for one; the first name that fails decides.
    pub async fn find_proposals(&self, names: &[ProposalName]) -> Result<Vec<FoundProposal>> {
        let distinct: HashMap<String, &ProposalName> = names.iter().map(|name| (name.to_string(), name)).collect();
        let mut of_call: BTreeMap<&CallCode, usize> = BTreeMap::new();
        for name in distinct.values() {
            if let ProposalName::Reference(reference) = name {
                *of_call.entry(reference.code()).or_default() += 1;
            }
        }
        let mut listed: HashMap<String, Vec<Proposal>> = HashMap::new();
        for (code, count) in of_call {
            for proposal in self.listed_under(code, count).await? {
                listed.entry(proposal.reference.to_string()).or_default().push(proposal);
            }
        }
        let mut calls: BTreeMap<CallId, Arc<VerifiedCall>> = BTreeMap::new();
        let (mut known, mut found) = (HashMap::<String, FoundProposal>::new(), Vec::with_capacity(names.len()));
        for name in names {
            let key = name.to_string();
            let one = match (known.get(&key), listed.remove(&key)) {
                (Some(before), _) => before.clone(),
                (None, Some(under_it)) => {
                    let proposal = the_one(name, under_it)?;
                    let call = match calls.get(&proposal.call) {
                        Some(call) => call.clone(),
                        None => self.call(proposal.call).await?,
                    };
                    calls.insert(proposal.call, call.clone());
                    self.meant(&proposal, &call).await?
                }
                (None, None) => self.find_proposal(name).await?,
            };
            known.insert(key, one.clone());
            found.push(one);
        }
        Ok(found)
    }

    /// The proposals of the call with this code, if reading its list takes fewer requests than to ask for so many; else none.
    async fn listed_under(&self, code: &CallCode, wanted: usize) -> Result<Vec<Proposal>> {
        if wanted <= LISTED_FROM {
            return Ok(Vec::new());
        }
        let calls = self.api().all_calls().await?.into_iter().filter(|call| call.text.code == *code);
        // Which of several is meant decides each reference by itself.
        let Ok([call]) = <[Call; 1]>::try_from(calls.collect::<Vec<_>>()) else { return Ok(Vec::new()) };
        let filter = Filter { call: Some(call.id), ..Filter::default() };
        if !takes_fewer(self.api().count_proposals(&filter).await?.proposals, wanted) {
            return Ok(Vec::new());
        }
        self.api().all_proposals(Some(call.id)).await
    }

    /// Takes a proposal for the one that is meant, once its reference is checked against what its parties signed.
    pub(super) async fn meant(&self, proposal: &Proposal, call: &VerifiedCall) -> Result<FoundProposal> {
        self.check_signed_reference(proposal, call).await?;
        self.api().named().proposal(proposal);
        Ok(FoundProposal::from(proposal))
    }

    /// The call that is meant.
    ///
    /// # Errors
    /// When there is none that the exchange shows, when there are several, or when its text was signed with another code.
    pub async fn find_call(&self, name: &CallName) -> Result<CallId> {
        if let CallName::Id(id) = name {
            return Ok(*id);
        }
        let is_meant = |call: &Call| match name {
            CallName::Id(id) => call.id == *id,
            CallName::Code(code) => call.text.code == *code,
            CallName::Begins(beginning) => beginning.begins(&call.id.to_string()),
        };
        let calls = self.api().all_calls().await?;
        let found = calls.into_iter().filter(is_meant).collect();
        let found = one_of(found, "call", &name.to_string(), |call: &Call| {
            format!("`{}` ({}, {}, of {})", call.text.code, call.id, call.phase, call.lead)
        })?;
        let id = found.id;
        // From here on its text has to be signed with this code, whatever of the call is shown now.
        self.api().named().call(&found);
        if found.publication.is_some() {
            self.verify_call(found).await?;
        }
        Ok(id)
    }

    /// The program that is meant: by its name in any case, or else by what begins so.
    ///
    /// # Errors
    /// When there is none that the exchange shows, or when there are several.
    pub async fn find_program(&self, name: &ProgramName) -> Result<ProgramId> {
        let text = match name {
            ProgramName::Id(id) => return Ok(*id),
            ProgramName::Text(text) => text,
        };
        let programs = self.list_programs().await?;
        let (same, others): (Vec<Program>, Vec<Program>) =
            programs.into_iter().partition(|program| is_same(&program.name, text));
        let beginning = IdBeginning::typed(ProgramId::PREFIX, text).ok();
        let begins = |program: &Program| {
            !text.is_empty() && program.name.to_lowercase().starts_with(&text.to_lowercase())
                || beginning.as_ref().is_some_and(|beginning| beginning.begins(&program.id.to_string()))
        };
        let found = if same.is_empty() { others.into_iter().filter(begins).collect() } else { same };
        Ok(one_of(found, "program", text, |program: &Program| format!("`{}` ({})", program.name, program.id))?.id)
    }

    /// Every program that the exchange shows.
    pub async fn list_programs(&self) -> Result<Vec<Program>> {
        let (mut programs, mut paging, mut pages) = (Vec::new(), first_page(), Pages::default());
        loop {
            let Page { items, next } = self.api().programs(&paging).await?;
            programs.extend(items);
            paging.cursor = pages.follow(next)?;
            if paging.cursor.is_none() {
                return Ok(programs);
            }
        }
    }

    /// A reviewer's newest review of a proposal.
    ///
    /// # Errors
    /// When the exchange shows none.
    pub async fn find_review(&self, proposal: ProposalId, reviewer: &MemberId) -> Result<ReviewId> {
        let reviews = self.api().reviews(proposal).await?.into_iter();
        let newest = reviews.filter(|review| review.reviewer == *reviewer).max_by_key(|review| review.revision);
        newest.map(|review| review.id).ok_or_else(|| {
            let what = format!("no review of the proposal by `{reviewer}` is shown to you");
            ClientError::nothing_named(what, "`entente review list` shows whose reviews are in")
        })
    }

    /// Everything that a filter leaves of the list, page after page.
    async fn proposals_of(&self, filter: &Filter) -> Result<Vec<Proposal>> {
        let (mut found, mut paging, mut pages) = (Vec::new(), first_page(), Pages::default());
        loop {
            let Page { items, next } = self.api().proposals(filter, Sort::Created, &paging).await?;
            found.extend(items);
            paging.cursor = pages.follow(next)?;
            // Enough to say which they could be.
            if paging.cursor.is_none() || found.len() > SHOWN {
                return Ok(found);
            }
        }
    }

    /// Checks the reference against the versions that parties signed, where the member may read them. Before a version is signed, and for
    /// those who may only know of the proposal, it is the exchange's word.
    async fn check_signed_reference(&self, proposal: &Proposal, call: &VerifiedCall) -> Result<()> {
        let pending = proposal.pending.as_ref().map(|pending| pending.version);
        check_reference(proposal, call)?;
        if proposal.version.is_none() && pending.is_none() {
            return Ok(());
        }
        let versions = match self.api().manifests(proposal.id).await {
            Err(error) if error.problem().is_some_and(|problem| matches!(problem.status, 403 | 404)) => return Ok(()),
            versions => versions?,
        };
        for version in versions.iter().filter(|version| version.is_standing || Some(version.version) == pending) {
            self.verify_signatures(version, proposal, call).await?;
        }
        Ok(())
    }
}

/// So many proposals of one call are asked for one by one before its list is thought of.
const LISTED_FROM: usize = 3;

/// Whether a list of so many is read with fewer requests than it takes to ask for each that is wanted: its pages, and two to find it.
fn takes_fewer(listed: u64, wanted: usize) -> bool {
    listed.div_ceil(u64::from(MAX_PAGE)) + 2 < wanted as u64
}

/// The proposal that a name means, among those that the exchange answered with.
fn the_one(name: &ProposalName, found: Vec<Proposal>) -> Result<Proposal> {
    let found =
        one_of(found, "proposal", &name.to_string(), |proposal| format!("`{}` ({})", proposal.reference, proposal.id))?;
    let is_meant = match name {
        ProposalName::Id(id) => found.id == *id,
        ProposalName::Reference(reference) => found.reference == *reference,
        ProposalName::Begins(beginning) => beginning.begins(&found.id.to_string()),
    };
    if !is_meant {
        return Err(invalid(format!("the exchange was asked for `{name}` and shows `{}`", found.reference)));
    }
    Ok(found)
}

/// As many are named where one was meant.
const SHOWN: usize = 5;

fn first_page() -> Paging {
    Paging { cursor: None, limit: Some(MAX_PAGE) }
}

/// The only one of those found.
fn one_of<T>(mut found: Vec<T>, what: &str, name: &str, worded: impl Fn(&T) -> String) -> Result<T> {
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(ClientError::nothing_named(
            format!("no {what} `{name}` is shown to you"),
            format!("compare it with what you were told; `entente {what} list` shows what you may know of"),
        )),
        count => {
            let mut each: Vec<String> = found.iter().take(SHOWN).map(worded).collect();
            if count > SHOWN {
                each.push("others".to_owned());
            }
            let last = each.pop().unwrap_or_default();
            let what = format!("`{name}` could be any of several: {} or {last}", each.join(", "));
            Err(ClientError::usage(what, "type more of it, or the identifier of the one that you mean"))
        }
    }
}

impl fmt::Display for ProposalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => fmt::Display::fmt(id, f),
            Self::Reference(reference) => fmt::Display::fmt(reference, f),
            Self::Begins(beginning) => write!(f, "{}{beginning}", ProposalId::PREFIX),
        }
    }
}

impl fmt::Display for CallName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => fmt::Display::fmt(id, f),
            Self::Code(code) => fmt::Display::fmt(code, f),
            Self::Begins(beginning) => write!(f, "{}{beginning}", CallId::PREFIX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF";

    #[test]
    fn proposal_is_named_by_reference_identifier_or_beginning_in_any_case() {
        let name = |text: &str| text.parse::<ProposalName>().unwrap();
        let reference: Reference = "BIRD26-48179".parse().unwrap();
        for text in ["BIRD26-48179", "bird26-48179", " Bird26 – 48179 ", "BIRD26 48179"] {
            assert_eq!(name(text), ProposalName::Reference(reference.clone()), "{text}");
        }
        assert_eq!(name(ID), ProposalName::Id(ID.parse().unwrap()));
        for text in [&ID.to_lowercase(), "prop_01J9", "01j9zq4"] {
            let ProposalName::Begins(beginning) = name(text) else { panic!("{text}") };
            assert!(beginning.begins(ID), "{text}");
        }
    }

    #[test]
    fn mistyped_reference_is_told_before_anything_is_asked() {
        let refused = "bird26-48719".parse::<ProposalName>().unwrap_err().to_string();
        assert!(refused.starts_with("`BIRD26-48719` is mistyped: "), "{refused}");
        for text in ["", "BIRD26", "call_01J9ZQ4N", "prop_01J", "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF1", "water research"] {
            assert!(text.parse::<ProposalName>().is_err(), "{text}");
        }
    }

    #[test]
    fn call_is_named_by_code_identifier_or_beginning() {
        let name = |text: &str| text.parse::<CallName>().unwrap();
        assert_eq!(name("bird26"), CallName::Code("BIRD26".parse().unwrap()));
        assert!(matches!(name("call_01J9ZQ4N6M8V7X5T3R2P1K0HGF"), CallName::Id(_)));
        assert!(matches!(name("CALL_01J9ZQ"), CallName::Begins(_)));
        assert!(matches!(name("01J9ZQ"), CallName::Begins(_)));
        assert!("prop_01J9ZQ".parse::<CallName>().is_err() && "BIRD-26".parse::<CallName>().is_err());
    }

    #[test]
    fn list_is_read_where_that_takes_fewer_requests() {
        let page = u64::from(MAX_PAGE);
        assert!(takes_fewer(page, LISTED_FROM + 1) && takes_fewer(10 * page, 13));
        assert!(!takes_fewer(page, LISTED_FROM) && !takes_fewer(10 * page + 1, 13), "more pages than names");
    }

    #[test]
    fn several_are_named_and_none_is_said() {
        let find = |found: &[&'static str]| one_of(found.to_vec(), "call", "01J9", |name| format!("`{name}`"));
        assert_eq!(find(&["a"]).unwrap(), "a");
        assert_eq!(find(&[]).unwrap_err().to_string(), "no call `01J9` is shown to you");
        assert_eq!(find(&["a", "b", "c"]).unwrap_err().to_string(), "`01J9` could be any of several: `a`, `b` or `c`");
        let many = find(&["a", "b", "c", "d", "e", "f"]).unwrap_err().to_string();
        assert!(many.ends_with("`d`, `e` or others"), "{many}");
    }
}
