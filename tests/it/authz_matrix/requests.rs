//! One request for every operation, and more where an operation decides by what it names.
//!
//! Each has the right shape and fails a rule or the check of a statement once authorization has let it through, or changes
//! nothing when it succeeds; so everybody can ask everything of the same world.

use super::setting::Ids;
use crate::harness::{exchange::fresh_key, world::Raw};
use base64::{Engine, prelude::BASE64_STANDARD};
use entente::{domain::id::Sha256, wire::UPLOAD_MEDIA_TYPE};
use jiff::Timestamp;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// A request that anybody can make.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// As the description of the API has it.
    pub(super) template: &'static str,
    /// What it names, where that matters.
    note: &'static str,
    places: Vec<(&'static str, String)>,
    query: String,
    body: Option<Value>,
    if_match: bool,
    key: Option<&'static str>,
}

impl Ask {
    /// Its name in the table.
    pub(super) fn name(&self) -> String {
        let note = if self.note.is_empty() { String::new() } else { format!(" [{}]", self.note) };
        format!("{} {}{note}", self.method, self.template)
    }

    /// What the table is sorted by.
    pub(super) fn order(&self) -> (&'static str, String, &'static str) {
        (self.template, self.method.to_string(), self.note)
    }

    /// Its address, with every place filled.
    pub(super) fn path(&self) -> String {
        let mut path = self.template.to_owned();
        for (place, value) in &self.places {
            path = path.replace(&format!("{{{place}}}"), value);
        }
        assert!(!path.contains('{'), "`{path}` has a place that nothing fills");
        path + &self.query
    }

    /// Whether both ask for the same of the same thing.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.path() == other.path() && self.body == other.body
    }

    pub(super) fn of(&self, caller: &Raw) -> RequestBuilder {
        let mut request = caller.request(self.method.clone(), &self.path());
        if self.method != Method::GET {
            request = request.header("Idempotency-Key", self.key.map_or_else(fresh_key, ToOwned::to_owned));
        }
        if self.if_match {
            request = request.header("If-Match", "\"another\"");
        }
        match &self.body {
            Some(body) => request.json(body),
            None if self.is_upload() => {
                let bytes = b"age-encryption.org/v1\nnever looked at";
                let digest = BASE64_STANDARD.encode(Sha256::of(bytes).as_bytes());
                request
                    .header("Content-Type", "application/vnd.age")
                    .header("Entente-Media-Type", "application/pdf")
                    .header("Repr-Digest", format!("sha-256=:{digest}:"))
                    .body(bytes.as_slice())
            }
            None if self.template.ends_with("/uploads") => {
                let metadata = format!("media_type {}", BASE64_STANDARD.encode("application/pdf"));
                request
                    .header("Tus-Resumable", "1.0.0")
                    .header("Upload-Length", 1000)
                    .header("Upload-Metadata", metadata)
            }
            None if self.method == Method::PATCH => request
                .header("Tus-Resumable", "1.0.0")
                .header("Upload-Offset", 7)
                .header("Content-Type", UPLOAD_MEDIA_TYPE)
                .body("never looked at"),
            None => request,
        }
    }

    fn is_upload(&self) -> bool {
        self.method == Method::PUT && self.template.ends_with("/documents/{slot}")
    }

    fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    fn at(mut self, place: &'static str, value: impl ToString) -> Self {
        self.places.retain(|(other, _)| *other != place);
        self.places.push((place, value.to_string()));
        self
    }

    fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.query = format!("?{name}={}", value.to_string());
        self
    }

    fn json(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Names a state that is not the present one.
    fn stale(mut self) -> Self {
        self.if_match = true;
        self
    }

    /// Under a key that the caller used before for something else, so that it is refused after authorization.
    fn under(mut self, key: &'static str) -> Self {
        self.key = Some(key);
        self
    }
}

/// The key that every officer spends before the matrix is asked.
pub(super) const SPENT: &str = "spent-before";

/// Every request, sorted.
pub(super) fn all(ids: &Ids) -> Vec<Ask> {
    let ask = |method: Method, template: &'static str| {
        let places = vec![
            ("partner", "ISR".to_owned()),
            ("owner", "ISR".to_owned()),
            ("version", "1".to_owned()),
            ("program", ids.program.to_string()),
            ("call", ids.call.to_string()),
            ("proposal", ids.open.to_string()),
            ("slot", "work-plan".to_owned()),
            ("review", ids.review.to_string()),
            ("upload", ids.upload.to_string()),
        ];
        let (note, query) = ("", String::new());
        Ask { method, template, note, places, query, body: None, if_match: false, key: None }
    };
    let get = |template| ask(Method::GET, template);
    let put = |template| ask(Method::PUT, template);
    let post = |template| ask(Method::POST, template);
    let delete = |template| ask(Method::DELETE, template);
    let reason = || json!({ "reason": "" });
    let publication = || json!({ "publication": "no statement" });
    let policy = || json!({ "text": "", "statement": "no statement" });
    let approval = || json!({ "approval": "no statement" });
    let vault = || json!({ "statement": "no statement", "keys": [] });
    let sealed = || json!({ "statement": "no statement", "ciphertext": "" });
    let long_ago = Timestamp::UNIX_EPOCH;
    let mut asks = vec![
        get("/openapi.json"),
        get("/v1/me"),
        get("/v1/inbox"),
        get("/v1/waiting"),
        get("/v1/partners"),
        get("/v1/partners/{partner}"),
        get("/v1/partners/{partner}/refusals").note("of ISR"),
        get("/v1/partners/{partner}/trust").note("of ISR"),
        get("/v1/partners/{partner}/trust").note("of USA").at("partner", "USA"),
        get("/v1/partners/{partner}/visibility").note("of ISR"),
        get("/v1/members"),
        get("/v1/members/{member}").at("member", "ISR:avi"),
        get("/v1/members/{member}/key-cards").at("member", "ISR:avi"),
        get("/v1/members/{member}/preview").note("of ISR").at("member", "ISR:avi").query("revoked", true),
        get("/v1/members/{member}/preview").note("of USA").at("member", "USA:carol").query("revoked", true),
        put("/v1/members/{member}/key-card")
            .note("of USA")
            .at("member", "USA:mia")
            .json(json!({ "key_card": ids.published_card })),
        put("/v1/members/{member}/key-card")
            .note("of ISR")
            .at("member", "ISR:avi")
            .json(json!({ "key_card": ids.published_card })),
        get("/v1/policies"),
        get("/v1/policies/{owner}").note("of ISR"),
        get("/v1/policies/{owner}").note("guardrails").at("owner", "guardrails"),
        get("/v1/policies/{owner}/versions"),
        get("/v1/policies/{owner}/versions/{version}").note("in force"),
        get("/v1/policies/{owner}/versions/{version}").note("withdrawn").at("version", 2),
        get("/v1/policies/{owner}/versions/{version}/preview").note("of ISR"),
        get("/v1/policies/{owner}/versions/{version}/preview").note("of ISR, withdrawn").at("version", 2),
        post("/v1/policies/{owner}/versions").note("of ISR").json(policy()),
        post("/v1/policies/{owner}/versions").note("guardrails").at("owner", "guardrails").json(policy()),
        post("/v1/policies/{owner}/versions/{version}/approve").note("of ISR").json(approval()),
        post("/v1/policies/{owner}/versions/{version}/approve")
            .note("guardrails")
            .at("owner", "guardrails")
            .json(approval()),
        // One that is in force cannot be withdrawn any more.
        post("/v1/policies/{owner}/versions/{version}/withdraw").note("of ISR"),
        post("/v1/policies/{owner}/versions/{version}/withdraw").note("guardrails").at("owner", "guardrails"),
        get("/v1/programs"),
        post("/v1/programs").json(json!({ "name": "", "lead": "USA", "partners": ["USA"] })),
        get("/v1/programs/{program}"),
        get("/v1/calls"),
        get("/v1/calls").note("of a program").query("program", ids.program),
        post("/v1/calls").json(json!({ "program": ids.program, "text": empty_text() })),
        get("/v1/calls/{call}"),
        put("/v1/calls/{call}").stale().json(json!({ "text": empty_text() })),
        delete("/v1/calls/{call}").stale(),
        post("/v1/calls/{call}/publish").stale().json(publication()),
        post("/v1/calls/{call}/amend").stale().json(publication()),
        post("/v1/calls/{call}/extend").json(json!({ "until": long_ago, "reason": "" })),
        post("/v1/calls/{call}/extend")
            .note("a proposal")
            .json(json!({ "until": long_ago, "reason": "", "proposal": ids.open })),
        get("/v1/calls/{call}/extensions"),
        post("/v1/calls/{call}/extensions/{number}/withdraw")
            .note("of reviews")
            .at("number", ids.review_extension)
            .json(json!({ "reason": " " })),
        post("/v1/calls/{call}/extensions/{number}/withdraw")
            .note("a proposal")
            .at("number", ids.proposal_extension)
            .json(json!({ "reason": " " })),
        post("/v1/calls/{call}/cancel").json(reason()),
        post("/v1/calls/{call}/close"),
        post("/v1/calls/{call}/reopen").json(reason()),
        get("/v1/calls/{call}/roles"),
        get("/v1/calls/{call}/roles/{member}/preview")
            .note("grant")
            .at("member", "USA:kate")
            .query("roles", "reviewer"),
        get("/v1/calls/{call}/roles/{member}/preview").note("revoke").at("member", "KOR:jiwoo").query("roles", ""),
        get("/v1/calls/{call}/role-statements"),
        // A party of the proposal that nobody has a conflict with.
        put("/v1/calls/{call}/roles/{member}")
            .note("grant")
            .at("member", "USA:kate")
            .json(json!({ "roles": ["reviewer"] })),
        put("/v1/calls/{call}/roles/{member}").note("revoke").at("member", "KOR:jiwoo").json(json!({ "roles": [] })),
        put("/v1/calls/{call}/roles/{member}").note("lay down").at("member", "USA:rhea").json(json!({ "roles": [] })),
        get("/v1/calls/{call}/progress"),
        get("/v1/calls/{call}/panel"),
        get("/v1/calls/{call}/panel").note("candidates").query("candidates", true),
        get("/v1/calls/{call}/vault"),
        post("/v1/calls/{call}/assignments").json(json!({ "assignments": [] })),
        get("/v1/proposals"),
        get("/v1/proposals").note("of a call").query("call", ids.call),
        get("/v1/proposals/count"),
        post("/v1/proposals").json(json!({ "id": ids.open, "call": ids.call, "parties": {}, "vaults": [] })),
        get("/v1/proposals/{proposal}"),
        // A decided one cannot be withdrawn any more.
        post("/v1/proposals/{proposal}/withdraw").at("proposal", ids.decided),
        post("/v1/proposals/{proposal}/reinstate"),
        put("/v1/proposals/{proposal}/members/{member}")
            .note("of ISR")
            .at("member", "ISR:avi")
            .json(json!({ "invitation": "", "keys": {} })),
        put("/v1/proposals/{proposal}/members/{member}")
            .note("of USA")
            .at("member", "USA:bob")
            .json(json!({ "invitation": "", "keys": {} })),
        delete("/v1/proposals/{proposal}/members/{member}").note("of ISR").at("member", "ISR:avi"),
        delete("/v1/proposals/{proposal}/members/{member}").note("of USA").at("member", "USA:bob"),
        post("/v1/proposals/{proposal}/acceptance").json(json!({ "statement": "" })),
        get("/v1/proposals/{proposal}/joined"),
        // A member who joined already needs nobody's consent any more.
        put("/v1/proposals/{proposal}/members/{member}/consent").at("member", "ISR:avi"),
        delete("/v1/proposals/{proposal}/members/{member}/consent").at("member", "ISR:avi"),
        get("/v1/proposals/{proposal}/explanation").note("of oneself"),
        get("/v1/proposals/{proposal}/explanation").note("of a reviewer of ISR").query("member", "ISR:tal"),
        get("/v1/proposals/{proposal}/explanation").note("of one in conflict, ISR").query("member", "ISR:yael"),
        get("/v1/proposals/{proposal}/readers"),
        get("/v1/proposals/{proposal}/vaults"),
        post("/v1/proposals/{proposal}/vaults/staff").json(vault()),
        post("/v1/proposals/{proposal}/vaults/deliberation").json(vault()),
        get("/v1/proposals/{proposal}/missing-keys"),
        get("/v1/calls/{call}/missing-keys"),
        get("/v1/proposals/{proposal}/surplus-keys"),
        get("/v1/proposals/{proposal}/documents"),
        put("/v1/proposals/{proposal}/documents/{slot}"),
        delete("/v1/proposals/{proposal}/documents/{slot}"),
        post("/v1/proposals/{proposal}/documents/{slot}/uploads"),
        get("/v1/proposals/{proposal}/uploads/{upload}"),
        ask(Method::PATCH, "/v1/proposals/{proposal}/uploads/{upload}"),
        delete("/v1/proposals/{proposal}/uploads/{upload}").under(SPENT),
        get("/v1/proposals/{proposal}/manifests"),
        post("/v1/proposals/{proposal}/manifests").json(json!({ "manifest": "no statement" })),
        get("/v1/proposals/{proposal}/labels"),
        post("/v1/proposals/{proposal}/labels").json(json!({ "statement": "no statement" })),
        get("/v1/proposals/{proposal}/labels/preview").query("releasable_to", ""),
        put("/v1/proposals/{proposal}/declaration")
            .note("conflict")
            .json(json!({ "conflict": true, "statement": "none" })),
        put("/v1/proposals/{proposal}/declaration")
            .note("no conflict")
            .json(json!({ "conflict": false, "ground": "employment", "statement": "none" })),
        post("/v1/proposals/{proposal}/declarations/{member}/lift")
            .at("member", "ISR:yael")
            .json(json!({ "reason": " ", "statement": "none" })),
        get("/v1/proposals/{proposal}/declarations"),
        get("/v1/proposals/{proposal}/assignments"),
        get("/v1/proposals/{proposal}/assignments/{member}/preview").at("member", "ISR:gal"),
        delete("/v1/proposals/{proposal}/assignments/{member}").at("member", "ISR:gal"),
        // Nothing is left to decline of a decided one.
        post("/v1/proposals/{proposal}/assignment/decline")
            .at("proposal", ids.decided)
            .json(json!({ "reason": "time" })),
        // Nobody has declined.
        post("/v1/proposals/{proposal}/assignment/resume").at("proposal", ids.decided),
        get("/v1/proposals/{proposal}/reviews"),
        post("/v1/proposals/{proposal}/reviews").json(sealed()),
        get("/v1/reviews/{review}"),
        post("/v1/reviews/{review}/reopen").json(reason()),
        post("/v1/reviews/{review}/reinstate").json(reason()),
        get("/v1/proposals/{proposal}/ranking"),
        put("/v1/proposals/{proposal}/ranking").json(sealed()),
        delete("/v1/proposals/{proposal}/ranking").under(SPENT),
        get("/v1/proposals/{proposal}/decision").note("open"),
        get("/v1/proposals/{proposal}/decision").note("final").at("proposal", ids.decided),
        put("/v1/proposals/{proposal}/decision").json(json!({ "decision": "no statement" })),
        delete("/v1/proposals/{proposal}/decision").stale(),
        get("/v1/proposals/{proposal}/letters").at("proposal", ids.decided),
        post("/v1/proposals/{proposal}/letters").json(sealed()),
        get("/v1/proposals/{proposal}/letters/{letter}").at("proposal", ids.decided).at("letter", ids.letter),
        delete("/v1/proposals/{proposal}/letters/{letter}")
            .at("proposal", ids.decided)
            .at("letter", ids.letter)
            .under(SPENT),
        get("/v1/proposals/{proposal}/letters/{letter}")
            .note("for ISR alone")
            .at("proposal", ids.decided)
            .at("letter", ids.israel_letter),
        delete("/v1/proposals/{proposal}/letters/{letter}")
            .note("for ISR alone")
            .at("proposal", ids.decided)
            .at("letter", ids.israel_letter)
            .under(SPENT),
        get("/v1/entries"),
    ];
    let documents =
        [("for the panel", ids.panel_document), ("of ISR", ids.israel_restricted), ("of USA", ids.us_restricted)];
    for (note, document) in documents {
        asks.push(get("/v1/proposals/{proposal}/ciphertexts/{document}").note(note).at("document", document));
    }
    let vaults = [
        ("call", ids.call_vault),
        ("panel", ids.panel),
        ("staff of ISR", ids.israel_staff),
        ("parties", ids.parties),
        ("deliberation", ids.deliberation),
    ];
    for (note, vault) in vaults {
        asks.push(post("/v1/vaults/{vault}/keys").note(note).at("vault", vault).json(json!({ "keys": [] })));
        // Holders who may still read.
        let holder = match note {
            "call" => "USA:dana",
            "deliberation" => "USA:frank",
            _ => "ISR:avi",
        };
        let remove = delete("/v1/vaults/{vault}/keys/{member}").note(note).at("vault", vault);
        asks.push(remove.at("member", holder));
    }
    // One that its holder would lose if it were done.
    let discard = delete("/v1/vaults/{vault}/own-keys/{key}").note("call").under(SPENT);
    asks.push(discard.at("vault", ids.call_vault).at("key", ids.call_key));
    asks.sort_by_key(Ask::order);
    asks
}

/// A call's text of the right shape that holds nothing together.
fn empty_text() -> Value {
    let then = Timestamp::UNIX_EPOCH;
    json!({
        "code": "EMPTY", "title": "", "text": "", "criteria": [], "slots": [], "eligible": [], "funders": [],
        "parties": { "at_least": 1, "at_most": 1 },
        "schedule": { "opens_at": then, "deadline_at": then, "grace_seconds": 0, "reviews_due_at": then },
    })
}
