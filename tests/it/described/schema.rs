//! As much of JSON Schema as the description of the API uses, and the description itself as something to hold answers against. A keyword
//! that is not known here is a fault, so that none is passed over.

use entente::wire::PROBLEM_JSON;
use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

/// Keywords that say something to people alone, or are read together with another one.
const FOR_PEOPLE: &[&str] =
    &["description", "example", "examples", "title", "default", "contentEncoding", "summary", "format", "deprecated"];

pub(super) struct Description(Value);

impl Description {
    pub(super) fn new(description: Value) -> Self {
        Self(description)
    }

    /// Everything that is read by `GET`, by its path.
    pub(super) fn reads(&self) -> impl Iterator<Item = (&str, &Value)> {
        let paths = self.0["paths"].as_object().unwrap();
        paths.iter().filter_map(|(path, item)| Some((path.as_str(), item.get("get")?)))
    }

    /// What the query of a read needs, by its own examples.
    pub(super) fn example_of_query(&self, path: &str) -> String {
        let parameters = self.0["paths"][path]["get"]["parameters"].as_array();
        let needed = parameters.into_iter().flatten().filter(|parameter| {
            // A preview wants to know of what.
            parameter["in"] == "query" && (parameter["required"] == true || parameter["name"] == "roles")
        });
        let pairs = needed.map(|parameter| {
            let example = self.resolve(&parameter["schema"])["examples"][0].as_str().unwrap_or_default();
            format!("{}={example}", parameter["name"].as_str().unwrap())
        });
        pairs.collect::<Vec<_>>().join("&")
    }

    /// What an answer has that the description does not promise.
    pub(super) fn check_answer(
        &self,
        operation: &Value,
        status: u16,
        media_type: Option<&str>,
        body: &[u8],
    ) -> Vec<String> {
        let responses = &operation["responses"];
        let Some(response) = responses.get(status.to_string()) else {
            return vec!["the status is not described".to_owned()];
        };
        let response = self.resolve(response);
        let media_type = media_type.unwrap_or_default();
        let content = &response["content"][media_type];
        if content.is_null() {
            return vec![format!("`{media_type}` is not described")];
        }
        if !matches!(media_type, "application/json" | PROBLEM_JSON) {
            return Vec::new();
        }
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return vec!["the body is not JSON".to_owned()] };
        let mut faults = self.check(&content["schema"], &body);
        if media_type == PROBLEM_JSON {
            let name =
                body["type"].as_str().and_then(|name| name.strip_prefix("urn:entente:problem:")).unwrap_or_default();
            if content["examples"].get(name).is_none() {
                faults.push(format!("the problem `{name}` is not described"));
            }
        }
        faults
    }

    /// Examples that do not fit: of schemas, parameters and bodies.
    pub(super) fn check_examples(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, schema) in self.0["components"]["schemas"].as_object().unwrap() {
            for example in schema["examples"].as_array().into_iter().flatten() {
                faults.extend(self.check(schema, example).into_iter().map(|fault| format!("{name}: {fault}")));
            }
        }
        for (path, item) in self.0["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let place = format!("{method} {path}");
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    for example in parameter["schema"]["examples"].as_array().into_iter().flatten() {
                        let found = self.check(&parameter["schema"], example);
                        faults.extend(found.into_iter().map(|fault| format!("{place} {}: {fault}", parameter["name"])));
                    }
                }
                let content = &operation["requestBody"]["content"]["application/json"];
                if content.is_object() {
                    let found = self.check(&content["schema"], &content["example"]);
                    faults.extend(found.into_iter().map(|fault| format!("{place}: {fault}")));
                }
            }
        }
        faults
    }

    /// Where a value does not fit a schema.
    pub(super) fn check(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        self.look(schema, value, "", &mut faults);
        faults
    }

    fn resolve<'v>(&'v self, value: &'v Value) -> &'v Value {
        match value["$ref"].as_str() {
            Some(place) => self.resolve(self.0.pointer(place.strip_prefix('#').unwrap()).unwrap()),
            None => value,
        }
    }

    fn look(&self, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
        let mut fault = |text: String| faults.push(format!("`{place}` {text}"));
        let bound = |keyword: &str| schema[keyword].as_u64();
        let size = |size: usize| u64::try_from(size).ok();
        let length = value.as_str().map(|text| text.chars().count());
        for (keyword, wanted) in schema.as_object().unwrap() {
            let is_kept = match keyword.as_str() {
                "$ref"
                | "properties"
                | "additionalProperties"
                | "propertyNames"
                | "items"
                | "required"
                | "uniqueItems" => true,
                "oneOf" => wanted.as_array().unwrap().iter().any(|choice| self.check(choice, value).is_empty()),
                "type" => wanted == "null" && value.is_null() || is_of(wanted, value),
                "enum" => wanted.as_array().unwrap().contains(value),
                "pattern" => {
                    value.as_str().is_none_or(|text| Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text))
                }
                "minLength" => length.is_none_or(|length| size(length) >= bound(keyword)),
                "maxLength" => length.is_none_or(|length| size(length) <= bound(keyword)),
                "minimum" => value.as_f64() >= wanted.as_f64(),
                "maximum" => value.as_f64() <= wanted.as_f64(),
                "minItems" => value.as_array().is_none_or(|items| size(items.len()) >= bound(keyword)),
                "maxItems" => value.as_array().is_none_or(|items| size(items.len()) <= bound(keyword)),
                "maxProperties" => value.as_object().is_none_or(|map| size(map.len()) <= bound(keyword)),
                known if FOR_PEOPLE.contains(&known) => true,
                other => panic!("the keyword `{other}` is not known here"),
            };
            if !is_kept {
                fault(format!("is {value}, which breaks `{keyword}`: {wanted}"));
            }
        }
        if schema["format"] == "date-time" && value.as_str().is_none_or(|text| text.parse::<Timestamp>().is_err()) {
            fault(format!("is {value}, no instant"));
        }
        if schema["$ref"].is_string() {
            self.look(self.resolve(schema), value, place, faults);
        }
        for (at, item) in value.as_array().into_iter().flatten().enumerate() {
            if schema["items"].is_object() {
                self.look(&schema["items"], item, &format!("{place}/{at}"), faults);
            }
        }
        if schema["type"] == "object" {
            self.look_into(schema, value, place, faults);
        }
    }

    fn look_into(&self, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
        let Some(members) = value.as_object() else { return };
        for needed in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(needed.as_str().unwrap()) {
                faults.push(format!("`{place}` lacks {needed}"));
            }
        }
        for (name, value) in members {
            let place = format!("{place}/{name}");
            let (known, others) = (&schema["properties"][name], &schema["additionalProperties"]);
            if schema["propertyNames"].is_object() {
                self.look(&schema["propertyNames"], &name.as_str().into(), &place, faults);
            }
            if known.is_object() {
                self.look(known, value, &place, faults);
            } else if others.is_object() {
                self.look(others, value, &place, faults);
            } else if schema["properties"].is_object() && others != true {
                // Answers may grow, but a description that does not tell of a member is not complete.
                faults.push(format!("`{place}` is not described"));
            }
        }
    }
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        _ => panic!("the type {kind} is not known here"),
    }
}
