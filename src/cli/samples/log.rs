//! The log: an entry of each kind as a sentence.

use super::{CALL, PROGRAM, PROPOSAL, Pages, REFERENCE, of, read, zone};
use crate::{
    cli::log,
    domain::entry::EntryKind,
    wire::entry::{
        Entry,
        payloads::{Payload, tests::samples},
    },
};
use serde_json::json;

pub(super) fn show(pages: &mut Pages) {
    let entries: Vec<Entry> = (1..).zip(samples()).map(|(seq, (payload, _))| entry(seq, &payload)).collect();
    let programs = [(read(PROGRAM), "Israel–United States industrial research".to_owned())].into();
    pages.show("log --all --keys", |screen| log::lines(screen, &entries, &programs, &zone()));
    pages.show("log", |screen| log::lines(screen, &[], &programs, &zone()));
    let some =
        entries.iter().filter(|entry| matches!(entry.kind, EntryKind::ClockAccepted | EntryKind::ProposalSubmitted));
    pages.show_csv("log", |screen| log::lines(screen, some, &programs, &zone()));
}

/// An entry with this payload, about a program, a call and a proposal as far as its kind is.
fn entry(seq: u64, payload: &Payload) -> Entry {
    let kind = payload.kind();
    let family = kind.as_str().split('.').next().unwrap_or_default();
    let subjects: &[(&str, &str)] = match family {
        "partner" | "clock" | "key_card" | "policy" => &[],
        "program" => &[("program", PROGRAM)],
        "call" => &[("program", PROGRAM), ("call", CALL)],
        _ => &[("program", PROGRAM), ("call", CALL), ("proposal", PROPOSAL)],
    };
    let mut fields = json!({
        "seq": seq, "at": "2026-03-01T22:05:00Z", "kind": kind, "payload": payload.canonical(), "salt": "",
    });
    if !matches!(family, "partner" | "clock") && kind != EntryKind::DocumentDropped {
        fields["actor"] = json!("USA:dana");
    }
    for (name, id) in subjects {
        fields[*name] = json!(id);
        // As the exchange sends them, which knows what people call these.
        match *name {
            "call" => fields["code"] = json!("BIRD26"),
            "proposal" => fields["reference"] = json!(REFERENCE),
            _ => {}
        }
    }
    of(fields)
}
