//! stub
use super::{Client, Result};
use crate::{domain::{call as rules, id::{CallId, MemberId, ProgramId}, member::CallRole}, sealing::statement::CallPublication, wire::call::{Amended, Call, CallText, RoleHolder}};
use std::collections::BTreeSet;

/// A call whose publication verified.
#[derive(Debug, Clone)]
pub struct VerifiedCall { pub call: Call, pub publication: CallPublication, pub text: CallText, pub rules: rules::CallText, pub signed_by: MemberId }

impl Client {
    pub async fn draft_call(&self, _program: ProgramId, _text: &CallText) -> Result<Call> { todo!() }
    pub async fn edit_call(&self, _id: CallId, _text: &CallText) -> Result<Call> { todo!() }
    /// Makes the call vault, wraps it to every officer, signs and publishes.
    pub async fn publish_call(&self, _id: CallId) -> Result<Call> { todo!() }
    pub async fn amend_call(&self, _id: CallId, _text: &CallText, _reason: &str, _dry_run: bool) -> Result<Amended> { todo!() }
    /// Replaces a member's roles; a new officer gets a key to the call vault.
    pub async fn grant_roles(&self, _id: CallId, _member: &MemberId, _roles: &BTreeSet<CallRole>) -> Result<RoleHolder> { todo!() }
    /// The published call, verified.
    pub async fn call(&self, _id: CallId) -> Result<std::sync::Arc<VerifiedCall>> { todo!() }
}
