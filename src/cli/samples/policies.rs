//! Policies: what is in force, the versions of one owner, and the recipes that come with the program.

use super::{DIGEST, OTHER_DIGEST, Pages, of, zone};
use crate::{
    cli::policy::{self, cookbook},
    client::{ClientError, policies::ListedPolicy},
    policy::stated,
    wire::policy::PolicyVersion,
};
use serde_json::json;

pub(super) fn show(pages: &mut Pages) {
    let signed = |member: &str, at: &str| json!({ "member": member, "statement": "", "signed_at": at });
    let guardrails: PolicyVersion =
        of(json!({ "owner": "guardrails", "version": 0, "status": "in_force", "text_sha256": DIGEST }));
    let versions: Vec<PolicyVersion> = of(json!([
        { "owner": "ISR", "version": 1, "status": "in_force", "text_sha256": DIGEST, "active_at": "2026-02-20T08:00:00Z",
          "proposed": signed("ISR:drafter", "2026-02-20T07:00:00Z"), "approved": signed("ISR:approver", "2026-02-20T08:30:00Z") },
        { "owner": "ISR", "version": 2, "status": "withdrawn", "text_sha256": OTHER_DIGEST,
          "proposed": signed("ISR:drafter", "2026-02-27T07:00:00Z"), "withdrawn_by": "ISR:drafter",
          "withdrawn_at": "2026-02-27T08:00:00Z" },
        { "owner": "ISR", "version": 3, "status": "proposed", "text_sha256": OTHER_DIGEST, "active_at": "2026-03-09T22:00:00Z",
          "proposed": signed("ISR:drafter", "2026-03-01T07:00:00Z") },
    ]));
    let listed = |policy: &PolicyVersion, verified| ListedPolicy { policy: policy.clone(), verified };
    let other = PolicyVersion { owner: super::read("USA"), ..versions[0].clone() };
    let fault = ClientError::unverified("no card of `USA` is pinned", "");
    let in_force = [listed(&guardrails, Ok(())), listed(&versions[0], Ok(())), listed(&other, Err(fault))];
    let waiting = [listed(&versions[2], Ok(()))];
    pages.show("policy list", |screen| {
        policy::show_waiting(screen, &waiting, &zone());
        screen.gap();
        policy::show_in_force(screen, &in_force, &zone());
    });
    pages.show("policy history ISR", |screen| policy::show_versions(screen, &versions, &zone()));
    let text = cookbook::text(&["topic".to_owned()]).unwrap();
    let rules = stated("ISR", &super::read("ISR"), &text).unwrap();
    pages.show("policy show ISR", |screen| policy::show_rules(screen, &rules));
    pages.show("policy example --list", |screen| policy::show_recipes(screen, &cookbook::recipes()));
}
