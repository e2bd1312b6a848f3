//! The API's description, OpenAPI 3.1, made from the code that answers.
//!
//! A handler states what is its own: summary, body and answer. What holds for all is added here by rule: identifiers in the
//! path, the headers of a change, and every problem that can be met, so that no handler can forget it.

mod answers;
mod refine;
mod samples;

use crate::{
    domain::{
        id::{
            CallId, DocumentId, IdBeginning, MemberId, PartnerCode, ProgramId, ProposalId, ReviewId, Slug, UploadId,
            VaultId,
        },
        policy::PolicyOwner,
        proposal::{Relation, Sort},
    },
    wire::{
        AGE_MEDIA_TYPE, PROBLEM_JSON, UPLOAD_MEDIA_TYPE,
        problem::{Kind, Problem},
    },
};
use serde_json::Value;
use std::collections::BTreeSet;
use utoipa::{
    ToSchema,
    openapi::{
        Components, ContactBuilder, Content, Header, HttpMethod, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi,
        Ref, RefOr, Required, Response, ResponseBuilder, ServerBuilder, ServerVariableBuilder,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        schema::{KnownFormat, Schema, SchemaFormat, Type},
        security::{SecurityRequirement, SecurityScheme},
    },
};

const SCHEME: &str = "member_certificate";

const DESCRIPTION: &str = "Nations that do not fully trust each other exchange sealed research proposals under joint calls.\n\n\
Every request comes over mutual TLS 1.3 with a certificate under an enrolled partner's anchor, and but for `/v1/me` and this \
description from a member whose key card is published. What you may not know of answers as what does not exist. Every change \
takes an `Idempotency-Key`: the same request with the same key gets the same answer and has no second effect, for seven days; \
where what it was about is hidden from you by then, the status alone. \
Content is sealed with age on the members' own machines; the exchange stores ciphertext.\n\n\
Refusals are problem bodies (RFC 9457); see `docs/problems.md`. What members sign is a compact JWS; see `docs/statements.md` for the \
payload of each type, and `docs/api.md` for a whole submission. Lists are `{items, next}`: pass `next` as `cursor`. A page can be short, or empty, \
and still have a `next`. Bodies \
with unknown members are refused, and so are unknown parameters where an operation takes any; answers may grow.\n\n\
Made by `entente-server openapi > docs/openapi.json`; do not edit.";

/// The description whose routes are given, with all that holds for each of them.
pub(super) fn complete(mut description: OpenApi) -> OpenApi {
    description.info = InfoBuilder::new()
        .title("Entente")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .contact(Some(ContactBuilder::new().name(Some("The host's operator")).build()))
        .build();
    let variable =
        |default: &str, said: &str| ServerVariableBuilder::new().default_value(default).description(Some(said));
    let server = ServerBuilder::new()
        .url("https://{host}:{port}")
        .description(Some("An exchange, at the address that its host gives to partners."))
        .parameter("host", variable("localhost", "Name of the exchange, as in its certificate."))
        .parameter("port", variable("8443", "Port of the API."))
        .build();
    description.servers = Some(vec![server]);
    description.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, [])]);
    let components = description.components.get_or_insert_with(Components::new);
    add_components(components);
    for (path, item) in &mut description.paths.paths {
        let operations = [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Put, &mut item.put),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Patch, &mut item.patch),
            (HttpMethod::Delete, &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                complete_operation(path, &method, operation);
            }
        }
    }
    description
}

/// The description as text, with what the types of the code do not tell.
pub(super) fn to_json(description: &OpenApi) -> String {
    let mut description = serde_json::to_value(description).expect("a description has string keys");
    refine::refine(&mut description);
    samples::illustrate(&mut description);
    answers::complete_answers(&mut description);
    operations(&mut description).for_each(tell);
    let mut text = serde_json::to_string_pretty(&description).expect("a description has string keys");
    text.push('\n');
    text
}

/// Everything that can be asked.
fn operations(description: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = description["paths"].as_object_mut().into_iter().flat_map(serde_json::Map::values_mut);
    paths.flat_map(|item| item.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut))
}

/// Makes the first sentence of an operation's text its summary and all of it its description, with what is true of all of its kind.
fn tell(operation: &mut Value) {
    let summary = operation["summary"].as_str().unwrap_or_default().replace('\n', " ");
    let more = operation["description"].as_str().map(|text| format!("\n\n{text}")).unwrap_or_default();
    let first = summary.split_inclusive(". ").next().unwrap_or_default().trim_end().to_owned();
    let names =
        |name: &str| operation["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == name));
    let of_kind = if names("Idempotency-Key") {
        "\n\nTo repeat it, send the same request with the same `Idempotency-Key`: it has no second effect."
    } else if names("limit") && !more.contains("A page can be short") {
        "\n\nA page can be short, or empty, and still have a `next`."
    } else {
        ""
    };
    operation["description"] = format!("{summary}{more}{of_kind}").into();
    operation["summary"] = first.into();
}

/// Path, method and operation of everything described.
#[cfg(test)]
pub(super) fn typed_operations(description: &OpenApi) -> impl Iterator<Item = (&str, &'static str, &Operation)> {
    description.paths.paths.iter().flat_map(|(path, item)| {
        let operations = [
            ("GET", &item.get),
            ("PUT", &item.put),
            ("POST", &item.post),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
        ];
        operations.into_iter().filter_map(move |(method, operation)| Some((path.as_str(), method, operation.as_ref()?)))
    })
}

fn add_components(components: &mut Components) {
    let scheme = SecurityScheme::MutualTls {
        description: Some(
            "Mutual TLS 1.3 with a client certificate (P-256, P-384 or Ed25519) under an anchor of your partner's card, with the \
             extended key usage `clientAuth`. The key card that your registrar published has to name the certificate's key; a \
             URI `urn:entente:member:<partner>:<handle>` in the certificate, where there is one, has to name you. There are no \
             tokens and no sessions: each request is asked as the member to whom the certificate belongs, and a certificate that \
             is revoked ends within its connection. Send intermediates with the certificate. Statements are signed with a key \
             that the key card names, usually the same."
                .into(),
        ),
        deprecated: None,
        extensions: None,
    };
    components.add_security_scheme(SCHEME, scheme);
    let schemas = [
        named::<CallId>(),
        named::<DocumentId>(),
        named::<IdBeginning>(),
        named::<MemberId>(),
        named::<PartnerCode>(),
        named::<PolicyOwner>(),
        named::<Problem>(),
        named::<ProgramId>(),
        named::<ProposalId>(),
        named::<Relation>(),
        named::<ReviewId>(),
        named::<Slug>(),
        named::<Sort>(),
        named::<UploadId>(),
        named::<VaultId>(),
    ];
    components.schemas.extend(schemas);
    let statuses: BTreeSet<u16> = Kind::ALL.iter().map(|kind| kind.status()).collect();
    for status in statuses {
        let kinds = Kind::ALL.iter().filter(|kind| kind.status() == status);
        let lines: Vec<_> = kinds.map(|kind| format!("`{}`: {}", kind.slug(), kind.title())).collect();
        let mut response = problem_response(lines.join("; "));
        if matches!(status, 429 | 503) {
            response.headers.insert("Retry-After".into(), header("Seconds after which to try again.").into());
        }
        components.responses.insert(format!("Problem{status}"), response.into());
    }
    components.responses.insert("Problem".into(), problem_response("Any other problem.".into()).into());
}

fn named<T: ToSchema>() -> (String, RefOr<Schema>) {
    (T::name().into_owned(), T::schema())
}

fn problem_response(description: String) -> Response {
    let schema = Ref::from_schema_name("Problem");
    ResponseBuilder::new().description(description).content(PROBLEM_JSON, Content::new(Some(schema))).build()
}

/// Adds to an operation what follows from its address, its method and what its handler stated.
fn complete_operation(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
    let name = operation.operation_id.take().unwrap_or_default();
    operation.operation_id = Some(format!("{tag}_{name}"));
    let is_change = !matches!(method, HttpMethod::Get);
    let takes_body = operation.request_body.is_some();
    let parameters = operation.parameters.get_or_insert_default();
    let if_match = parameters.iter_mut().find_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.name == "If-Match" => Some(parameter),
        _ => None,
    });
    let if_match = if_match.map(|parameter| {
        parameter.description = Some("`ETag` of the state that you read.".into());
        matches!(parameter.required, Required::True)
    });
    let has_bytes = operation.request_body.as_mut().is_some_and(|body| match body {
        RefOr::T(body) => {
            body.content.get_mut(UPLOAD_MEDIA_TYPE).map(make_binary);
            body.content.get_mut(AGE_MEDIA_TYPE).map(make_binary).is_some()
        }
        RefOr::Ref(_) => false,
    });
    // Bytes that are added to an upload are recognised by their offset.
    let has_key = is_change && !matches!(method, HttpMethod::Patch);
    if has_key {
        parameters.push(idempotency_key().into());
    }
    let in_path: Vec<_> = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
    // A path parameter that the handler's signature gave away has no description; the one from here has.
    parameters.retain(|p| !matches!(p, RefOr::T(p) if matches!(p.parameter_in, ParameterIn::Path)));
    for name in in_path.iter().rev() {
        parameters.insert(0, identifier(name).into());
    }
    let is_for_members = !matches!(path, "/v1/me" | "/openapi.json");
    // A preview is refused what the change itself would be refused.
    let is_preview = path.ends_with("/preview");
    let is_logged = operation.description.as_ref().is_some_and(|text| text.contains("an entry in the log"));
    let statuses = [
        (400, true),
        (401, true),
        (403, is_for_members),
        (404, is_change || !in_path.is_empty()),
        (408, is_change),
        (409, is_change || is_preview),
        (411, has_bytes),
        (412, if_match.is_some()),
        (413, is_change),
        (415, takes_body),
        // Of a read the address alone, which can have a character that no text may have.
        (422, true),
        (428, if_match == Some(true)),
        (429, true),
        (500, true),
        (503, true),
        (507, is_change || is_logged),
    ];
    let responses = &mut operation.responses.responses;
    for (status, response) in responses.iter_mut() {
        let RefOr::T(response) = response else { continue };
        response.content.get_mut(AGE_MEDIA_TYPE).map(make_binary);
        if status.starts_with('2') {
            describe_success(status, response, has_key);
        } else if !status.starts_with('3') {
            let content = problem_response(String::new()).content;
            response.content.extend(content);
            if response.description.is_empty() {
                response.description = "Refused.".into();
            }
        }
    }
    for (status, _) in statuses.into_iter().filter(|(_, applies)| *applies) {
        let reference = || Ref::from_response_name(format!("Problem{status}")).into();
        responses.entry(status.to_string()).or_insert_with(reference);
    }
    responses.entry("default".into()).or_insert_with(|| Ref::from_response_name("Problem").into());
}

fn describe_success(status: &str, response: &mut Response, has_key: bool) {
    response.description = match status {
        "201" => "Made.",
        "204" => "Done.",
        "206" => "A part.",
        _ => "Done, or found.",
    }
    .into();
    if status == "201" {
        response.headers.insert("Location".into(), header("Address of what was made.").into());
    }
    if has_key {
        let replay = header("`true` when it is the answer that the same request got before.");
        response.headers.insert("Idempotent-Replay".into(), replay.into());
    }
}

fn make_binary(content: &mut RefOr<Content>) {
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    let schema = ObjectBuilder::new().schema_type(Type::String).format(Some(format));
    *content = Content::new(Some(schema)).into();
}

fn header(description: &str) -> Header {
    let mut header = Header::new(ObjectBuilder::new().schema_type(Type::String));
    header.description = Some(description.into());
    header
}

fn idempotency_key() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(128))
        .pattern(Some("^[!-~]{1,128}$"));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::True)
        .description(Some("New and random for each change; the same again when the same request is repeated."))
        .schema(Some(schema))
        .build()
}

fn identifier(name: &str) -> Parameter {
    let counted = match name {
        "version" => Some("Number of a version."),
        "number" => Some("Number of an extension in its call."),
        _ => None,
    };
    if let Some(description) = counted {
        let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
        return ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(description))
            .schema(Some(number))
            .build();
    }
    let (schema, description) = match name {
        "partner" => ("PartnerCode", "Code of a partner."),
        "member" => ("MemberId", "A member, `<partner>:<handle>`."),
        "program" => ("ProgramId", "A program."),
        "call" => ("CallId", "A call."),
        "proposal" => ("ProposalId", "A proposal."),
        "vault" => ("VaultId", "A vault."),
        "slot" => ("Slug", "Name of a slot of the call."),
        "document" => ("DocumentId", "A document."),
        "upload" => ("UploadId", "An upload of one's own."),
        "letter" => ("DocumentId", "A letter."),
        "owner" => ("PolicyOwner", "Whose policies: the code of a partner, or `guardrails`."),
        "review" => ("ReviewId", "A review."),
        "key" => ("WrappedKeyId", "A wrapped key."),
        other => panic!("the route parameter `{other}` has no description"),
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(Ref::from_schema_name(schema)))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{
        api::{openapi, openapi_json},
        change_request::IDEMPOTENCY_KEY,
        problem::IDEMPOTENT_REPLAY,
    };

    #[test]
    fn every_change_takes_an_idempotency_key_and_names_its_problems() {
        let description = serde_json::to_value(openapi()).unwrap();
        assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
        for (path, item) in description["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                let has_key = parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key");
                assert_eq!(has_key, !matches!(&**method, "get" | "patch"), "{method} {path}");
                assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
                assert_eq!(operation["responses"]["401"]["$ref"], "#/components/responses/Problem401");
                let names: BTreeSet<_> =
                    parameters.iter().map(|p| (p["in"].to_string(), p["name"].to_string())).collect();
                assert_eq!(names.len(), parameters.len(), "{method} {path} has a parameter twice");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn look(value: &Value, whole: &Value) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(reference)) = members.get("$ref") {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(whole.pointer(pointer).is_some(), "{reference}");
                    }
                    members.values().for_each(|value| look(value, whole));
                }
                Value::Array(items) => items.iter().for_each(|value| look(value, whole)),
                _ => {}
            }
        }
        let description = serde_json::from_str(&openapi_json()).unwrap();
        look(&description, &description);
    }

    #[test]
    fn kept_pages_are_what_the_code_makes() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        for (page, made) in [
            ("openapi.json", openapi_json()),
            ("problems.md", crate::http::problem::catalogue()),
            ("statements.md", crate::http::statements::page()),
        ] {
            let kept = std::fs::read_to_string(root.join(page)).unwrap_or_default();
            assert!(kept == made, "run `entente-server {} > docs/{page}`", page.split('.').next().unwrap());
        }
    }

    #[test]
    fn header_names_are_those_the_code_reads() {
        assert!(idempotency_key().name.eq_ignore_ascii_case(IDEMPOTENCY_KEY.as_str()));
        assert!("Idempotent-Replay".eq_ignore_ascii_case(IDEMPOTENT_REPLAY.as_str()));
    }
}
