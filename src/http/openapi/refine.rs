//! What a description says of forms and sizes beyond what the types of the code tell: how a signed statement looks, how long a
//! text and how many the items of a list may be. Every number is the constant that the code enforces.
//!
//! A member that may be left out is described as absent, never as `null`: the server takes both, and answers with neither.

use super::operations;
use crate::{
    domain::{
        call::{
            MAX_CALL_TEXT, MAX_CALL_TITLE, MAX_CRITERIA, MAX_GRACE, MAX_PARTIES, MAX_SLOT_BYTES, MAX_SLOTS,
            MIN_SLOT_BYTES,
        },
        decision::MAX_REASON,
        label::{MAX_CAVEATS, MAX_RELEASABLE},
        member::{CallRole, PartnerRole},
        policy::MAX_POLICY_TEXT,
        proposal::Status,
        review::MAX_WEIGHT,
    },
    sealing::{card::MAX_KEYS, jws::MAX_JWS_LEN},
    service::{
        MAX_WRAPPED_KEY, MOST_KEYS, decisions::MAX_LETTER, programs::MAX_NAME, rankings::MAX_RANKING_LINE,
        reviews::MAX_REVIEW,
    },
    wire::{
        page::{DEFAULT_PAGE, MAX_PAGE},
        proposal::CreateProposal,
        review::Assign,
    },
};
use serde_json::{Value, json};

/// How a compact JWS looks.
const JWS: &str = "^[A-Za-z0-9_-]+[.][A-Za-z0-9_-]+[.][A-Za-z0-9_-]+$";
/// How standard base64 looks.
const BASE64: &str = "^[A-Za-z0-9+/]*={0,2}$";
/// How a media type looks in the text of a call.
const MEDIA_TYPE: &str = "^[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+$";

/// Members that hold a signed statement, or a map whose values are such.
const STATEMENTS: &[(&str, &[&str])] = &[
    ("AcceptInvitation", &["statement"]),
    ("AddMember", &["invitation"]),
    ("ApprovePolicy", &["approval"]),
    ("Assignment", &["statement"]),
    ("Call", &["publication"]),
    ("CreateProposal", &["invitations"]),
    ("Declaration", &["statement"]),
    ("DeclareConflict", &["statement"]),
    ("GrantRoles", &["statement"]),
    ("Joined", &["invitation", "acceptance"]),
    ("Letter", &["statement"]),
    ("LiftConflict", &["statement"]),
    ("Member", &["key_card"]),
    ("NewVault", &["statement"]),
    ("Pair", &["statement"]),
    ("PolicySignature", &["statement"]),
    ("ProposePolicy", &["statement"]),
    ("PublishCall", &["publication", "vault", "roll"]),
    ("PublishKeyCard", &["key_card"]),
    ("PublishedKeyCard", &["key_card"]),
    ("Review", &["statement"]),
    ("RankingLine", &["statement"]),
    ("SendLetter", &["statement"]),
    ("SendRanking", &["statement"]),
    ("SignDecision", &["decision"]),
    ("SignLabel", &["statement"]),
    ("SignManifest", &["manifest"]),
    ("Signature", &["jws"]),
    ("SignedLabel", &["signatures"]),
    ("SignedManifest", &["signatures"]),
    ("StatedRoles", &["statement"]),
    ("SubmitReview", &["statement"]),
    ("Vault", &["statement"]),
    ("WrappedKey", &["statement"]),
    ("WrappedKeyIn", &["statement"]),
];

/// How much a member takes.
enum Bound {
    /// The least and the most characters.
    Text(usize, usize),
    /// The least and the most items.
    Items(usize, usize),
    /// The most members of a map.
    Entries(usize),
    /// The least and the most.
    Number(u64, u64),
    /// The most bytes that base64 stands for.
    Base64(usize),
}

/// What each member takes. Where the code counts bytes, the same number of characters is an upper bound too.
fn bounds() -> Vec<(&'static str, &'static str, Bound)> {
    use Bound::{Base64, Entries, Items, Number, Text};
    let grace = MAX_GRACE.as_secs().unsigned_abs();
    vec![
        ("AddKeys", "keys", Items(1, MOST_KEYS)),
        ("ApprovePolicy", "preview", Text(1, MAX_POLICY_TEXT)),
        ("Assign", "assignments", Items(0, Assign::MOST)),
        ("CallText", "criteria", Items(1, MAX_CRITERIA)),
        ("CallText", "eligible", Items(1, usize::MAX)),
        ("CallText", "funders", Items(1, usize::MAX)),
        ("CallText", "slots", Items(0, MAX_SLOTS)),
        ("CallText", "text", Text(0, MAX_CALL_TEXT)),
        ("CallText", "title", Text(1, MAX_CALL_TITLE)),
        ("CreateProgram", "name", Text(1, MAX_NAME)),
        ("CreateProposal", "invitations", Entries(CreateProposal::MOST_INVITATIONS)),
        ("Criterion", "weight", Number(1, MAX_WEIGHT.into())),
        ("ExtendCall", "reason", Text(1, MAX_REASON)),
        ("Label", "caveats", Items(0, MAX_CAVEATS)),
        ("Label", "releasable_to", Items(0, MAX_RELEASABLE)),
        ("LiftConflict", "reason", Text(1, MAX_REASON)),
        ("NewVault", "keys", Items(1, MOST_KEYS)),
        ("PartyRule", "at_least", Number(1, MAX_PARTIES as u64)),
        ("PartyRule", "at_most", Number(1, u32::MAX.into())),
        ("ProposePolicy", "text", Text(1, MAX_POLICY_TEXT)),
        ("PublishCall", "keys", Items(0, MOST_KEYS)),
        ("PublishCall", "reason", Text(1, MAX_REASON)),
        ("PublishKeyCard", "certificates", Items(0, MAX_KEYS)),
        ("Reason", "reason", Text(1, MAX_REASON)),
        ("Schedule", "grace_seconds", Number(0, grace)),
        ("SendLetter", "ciphertext", Base64(MAX_LETTER)),
        ("SendRanking", "ciphertext", Base64(MAX_RANKING_LINE)),
        ("Slot", "max_bytes", Number(MIN_SLOT_BYTES, MAX_SLOT_BYTES)),
        ("Slot", "media_types", Items(1, usize::MAX)),
        ("SubmitReview", "ciphertext", Base64(MAX_REVIEW)),
        ("WrappedKeyIn", "ciphertext", Base64(MAX_WRAPPED_KEY)),
    ]
}

/// Members that are words, without a type of their own; of a list or a map its items or names.
fn words() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let parts = vec!["party", "officer", "reviewer", "assigned", "decider", "observer"];
    let actions = vec!["View", "Read", "ReadStaff", "ViewDeliberation"];
    vec![
        ("ExplainedSide", "side", vec!["guardrails", "release", "reader"]),
        ("ExplainedStep", "action", actions.clone()),
        ("Explanation", "action", actions),
        ("Explanation", "outcome", vec!["permitted", "denied", "hidden"]),
        ("Member", "status", vec!["active", "revoked"]),
        ("PreviewedChange", "action", vec!["View", "Read"]),
        ("Progress", "proposals", Status::ALL.iter().map(|status| status.as_str()).collect()),
        ("Reader", "parts", parts),
    ]
}

/// Adds all of this to a description.
pub(super) fn refine(description: &mut Value) {
    without_nulls(description);
    name_items_of_pages(description);
    let schemas = &mut description["components"]["schemas"];
    for (schema, members) in STATEMENTS {
        for member in *members {
            let text = inner(property(schemas, schema, member));
            text["pattern"] = JWS.into();
            text["maxLength"] = MAX_JWS_LEN.into();
        }
    }
    for (schema, member, bound) in bounds() {
        bind(property(schemas, schema, member), &bound);
    }
    for (schema, member, words) in words() {
        let found = property(schemas, schema, member);
        match found["type"].as_str() {
            Some("object") => found["propertyNames"] = json!({ "type": "string", "enum": words }),
            Some("array") => found["items"]["enum"] = words.into(),
            _ => found["enum"] = words.into(),
        }
    }
    property(schemas, "Slot", "media_types")["items"]["pattern"] = MEDIA_TYPE.into();
    property(schemas, "Problem", "type")["pattern"] = "^urn:entente:problem:[a-z-]+$".into();
    for schema in ["CandidateRefusal", "LineFault", "MemberRefusal"] {
        property(schemas, schema, "problem")["pattern"] = "^[a-z-]+$".into();
    }
    describe_queries(description);
}

/// What the parameters of a query take that are numbers, words, or several words with commas.
fn describe_queries(description: &mut Value) {
    for operation in operations(description) {
        for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
            if parameter["name"] == "limit" {
                parameter["schema"]["maximum"] = MAX_PAGE.into();
                parameter["schema"]["default"] = DEFAULT_PAGE.into();
            }
        }
    }
    let alternatives = |words: Vec<&str>| format!("^(({0})(,({0}))*)?$", words.join("|"));
    let code = "[A-Z][A-Z0-9]{1,7}";
    let call_roles = alternatives(CallRole::ALL.iter().map(|role| role.as_str()).collect());
    let partner_roles = alternatives(PartnerRole::ALL.iter().map(|role| role.as_str()).collect());
    for (path, name, schema) in [
        (
            "/v1/entries",
            "kind",
            json!({ "pattern": "^[a-z_]+([.][a-z_]+)?(,[a-z_]+([.][a-z_]+)?)*$", "examples": ["proposal,letter.sent"] }),
        ),
        (
            "/v1/proposals/{proposal}/explanation",
            "action",
            json!({ "enum": ["View", "Read", "ReadStaff", "ViewDeliberation"] }),
        ),
        (
            "/v1/proposals/{proposal}/labels/preview",
            "releasable_to",
            json!({ "pattern": format!("^({code}(,{code})*)?$"), "examples": ["GBR,KOR"] }),
        ),
        (
            "/v1/proposals/{proposal}/labels/preview",
            "caveats",
            json!({ "pattern": "^([a-z][a-z0-9-]{0,39}(,[a-z][a-z0-9-]{0,39})*)?$", "examples": ["no-contractors"] }),
        ),
        (
            "/v1/calls/{call}/roles/{member}/preview",
            "roles",
            json!({ "pattern": call_roles, "examples": ["reviewer"] }),
        ),
        ("/v1/members/{member}/preview", "roles", json!({ "pattern": partner_roles, "examples": ["program_officer"] })),
    ] {
        let parameters = description["paths"][path]["get"]["parameters"].as_array_mut();
        let found = parameters.into_iter().flatten().find(|parameter| parameter["name"] == name);
        let found = found.unwrap_or_else(|| panic!("`{path}` takes no parameter `{name}`"));
        for (keyword, value) in schema.as_object().expect("an object was written above") {
            found["schema"][keyword] = value.clone();
        }
    }
}

fn property<'s>(schemas: &'s mut Value, schema: &str, member: &str) -> &'s mut Value {
    let found = schemas.get_mut(schema).and_then(|schema| schema["properties"].get_mut(member));
    found.unwrap_or_else(|| panic!("`{schema}` has no member `{member}`"))
}

/// What the values of a map are, or else the thing itself.
fn inner(schema: &mut Value) -> &mut Value {
    if schema["type"] == "object" { &mut schema["additionalProperties"] } else { schema }
}

fn bind(schema: &mut Value, bound: &Bound) {
    let mut at_most = |keyword: &str, most: usize| {
        if most < usize::MAX {
            schema[keyword] = most.into();
        }
    };
    match *bound {
        Bound::Text(least, most) => {
            at_most("maxLength", most);
            schema["minLength"] = least.into();
        }
        Bound::Items(least, most) => {
            at_most("maxItems", most);
            schema["minItems"] = least.into();
        }
        Bound::Entries(most) => at_most("maxProperties", most),
        Bound::Number(least, most) => {
            schema["minimum"] = least.into();
            schema["maximum"] = most.into();
        }
        Bound::Base64(bytes) => {
            at_most("maxLength", bytes.div_ceil(3) * 4);
            schema["pattern"] = BASE64.into();
            schema["contentEncoding"] = "base64".into();
        }
    }
}

/// The items of a page are the schema that has their name, rather than a copy of it.
fn name_items_of_pages(description: &mut Value) {
    let schemas = description["components"]["schemas"].as_object_mut().expect("there are schemas");
    for (name, schema) in schemas.iter_mut() {
        if let Some(item) = name.strip_prefix("Page_") {
            schema["properties"]["items"]["items"] = json!({ "$ref": format!("#/components/schemas/{item}") });
        }
    }
}

/// Takes `null` out of every choice.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    members.insert("type".into(), only);
                }
            }
            if let Some(Value::Array(choices)) = members.get_mut("oneOf") {
                choices.retain(|choice| choice["type"] != "null");
                if let [only] = &choices[..]
                    && let Value::Object(only) = only.clone()
                {
                    members.remove("oneOf");
                    // What was said of the member itself is said last and counts.
                    let said = std::mem::replace(members, only);
                    members.extend(said);
                }
            }
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::http::api::openapi_json;
    use serde_json::Value;

    fn description() -> Value {
        serde_json::from_str(&openapi_json()).unwrap()
    }

    #[test]
    fn every_member_that_is_said_to_be_a_statement_has_the_form_of_one() {
        let description = description();
        for (name, schema) in description["components"]["schemas"].as_object().unwrap() {
            for (member, schema) in schema["properties"].as_object().into_iter().flatten() {
                let text = schema["description"].as_str().unwrap_or_default();
                let has_form =
                    schema["pattern"] == super::JWS || schema["additionalProperties"]["pattern"] == super::JWS;
                let is_said = text.starts_with("Compact JWS") || text.contains(": compact JWS");
                assert!(!is_said || has_form, "`{member}` of `{name}` is missing in `STATEMENTS`");
            }
        }
    }

    #[test]
    fn nothing_is_described_as_null_and_no_page_has_a_copy_of_its_items() {
        let text = openapi_json();
        assert!(!text.contains("\"null\""));
        let description = description();
        for (name, schema) in description["components"]["schemas"].as_object().unwrap() {
            let item = &schema["properties"]["items"]["items"];
            assert!(!name.starts_with("Page_") || item["$ref"].is_string(), "{name}");
        }
    }
}
