//! stub
use super::{Client, Result};
use crate::{
    domain::{
        decision::Outcome,
        id::{DocumentId, ProposalId},
    },
    wire::decision::{Decision, Letter},
};
use zeroize::Zeroizing;

/// A letter that verified and opened.
#[derive(Debug, Clone)]
pub struct OpenedLetter {
    pub letter: Letter,
    pub text: Zeroizing<String>,
}

impl Client {
    /// Signs a decision on the version that stands.
    pub async fn sign_decision(&self, _id: ProposalId, _outcome: Outcome) -> Result<Decision> {
        todo!()
    }
    pub async fn unsign_decision(&self, _id: ProposalId) -> Result<()> {
        todo!()
    }
    /// The decision on the table with its signatures verified.
    pub async fn decision(&self, _id: ProposalId) -> Result<Option<Decision>> {
        todo!()
    }
    pub async fn send_letter(&self, _id: ProposalId, _text: &str) -> Result<Letter> {
        todo!()
    }
    pub async fn read_letter(&self, _id: ProposalId, _letter: DocumentId) -> Result<OpenedLetter> {
        todo!()
    }
}
