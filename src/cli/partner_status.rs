//! `entente partner status`: a nation at a glance, for its registrars and policy officers.

use super::{
    cell::TableCell,
    context::{Context, joined},
    error::Result,
    output::Screen,
    table::Table,
    time::Zone,
};
use crate::{
    client::{
        partner_cards::ends_in_words,
        partner_status::{CardEnd, PartnerStatus, RegistrarStatus},
    },
    domain::{
        expiry::{NearEnd, near_end},
        id::PartnerCode,
        text::counted,
    },
    wire::policy::PolicyVersion,
};
use serde_json::{Value, json};

/// Runs the command.
pub(super) async fn run(partner: Option<PartnerCode>, context: &Context) -> Result<()> {
    let client = context.client().await?;
    let status = client.partner_status(partner.as_ref()).await?;
    let zone = context.zone()?;
    context.out.answer(&as_json(&status), |screen| show(screen, &status, &zone))?;
    if !status.partner.is_verified {
        context.out.note(
            "registrars, authorities and policies are shown once you have pinned the card: take it from your registrar's trust list with \
             `entente trust import`",
        );
    }
    let shut_out = status.ending.iter().filter(|end| end.near.is_some_and(NearEnd::is_last)).count();
    if shut_out > 0 {
        context.out.warn(&format!(
            "{} within 7 days, and then their holders are shut out",
            counted(shut_out, "key card ends", "key cards end")
        ));
    }
    Ok(())
}

/// The status on a screen.
pub(super) fn show(screen: &mut Screen, status: &PartnerStatus, zone: &Zone) {
    let partner = &status.partner.partner;
    let pinned = match (&status.partner.pinned, status.partner.is_verified) {
        (None, _) => "no",
        (Some(_), true) => "yes",
        (Some(_), false) => "DIFFERS",
    };
    let takes_part = partner.suspended.as_ref().map_or_else(
        || "yes".to_owned(),
        |suspended| format!("SUSPENDED since {}: {}", zone.both(suspended.since.0), suspended.reason.sentence()),
    );
    let mut fields = vec![
        ("partner", format!("{} ({})", partner.code, partner.name)),
        ("takes part", takes_part),
        ("pinned", pinned.to_owned()),
        ("members", counted(status.members_in_force, "key card in force", "key cards in force")),
    ];
    let authorities: Vec<String> = status
        .authorities
        .iter()
        .map(|authority| format!("{}, {}", authority.subject, ends_in_words(authority, status.now)))
        .collect();
    if !authorities.is_empty() {
        fields.push(("authorities", authorities.join("\n")));
    }
    if let Some(trust) = &status.trust {
        let lists = match (trust.needs_lists, trust.lists_until) {
            (_, Some(until)) => format!("until {}", zone.both(until.0)),
            (true, None) => "NEEDED, and none is in force: nobody gets in".to_owned(),
            (false, None) => "none, and none is needed".to_owned(),
        };
        fields.push(("revocation lists", lists));
    }
    if status.partner.is_verified {
        let policy = status.policy.as_ref().map_or_else(
            || "none: nothing is released and nothing read".to_owned(),
            |policy| format!("version {}{}", policy.version, since(policy, zone)),
        );
        fields.push(("policies in force", policy));
        let waiting: Vec<String> = status.waiting.iter().map(|policy| waiting(policy, zone)).collect();
        fields.push(("waiting", if waiting.is_empty() { "none".to_owned() } else { waiting.join("\n") }));
    }
    screen.fields(&fields);
    if !status.registrars.is_empty() {
        screen.gap();
        registrars(screen, &status.registrars, zone);
    }
    if !status.ending.is_empty() {
        screen.gap();
        endings(screen, &status.ending, zone);
    }
    let certificates = status.trust.as_ref().map(|trust| trust.certificates.as_slice()).unwrap_or_default();
    if !certificates.is_empty() {
        screen.gap();
        let mut table = Table::new(["CERTIFICATE OF", "ENDS", "LEFT"]);
        for seen in certificates {
            let left = left(near_end(seen.ends_at.0, status.now));
            table.row([seen.member.to_string().into(), zone.cell(seen.ends_at.0), left.into()]);
        }
        screen.table(&table, "");
    }
}

fn registrars(screen: &mut Screen, registrars: &[RegistrarStatus], zone: &Zone) {
    let mut table = Table::new(["REGISTRAR", "KEY", "KEY CARD"]);
    for RegistrarStatus { key, holder } in registrars {
        let (member, card) = match holder {
            Some(holder) if holder.is_in_force => {
                let until = zone.cell_of(|said| format!("until {}", said(holder.card_until)));
                (holder.member.to_string(), until)
            }
            Some(holder) => (holder.member.to_string(), "NOT IN FORCE".into()),
            None => (String::new(), "not seen yet: no key card is published".into()),
        };
        let key = key.to_string();
        table.row([member.into(), TableCell::new(format!("{key:.12}…"), key), card]);
    }
    screen.table(&table, "");
}

fn endings(screen: &mut Screen, ending: &[CardEnd], zone: &Zone) {
    let mut table = Table::new(["KEY CARD OF", "ENDS", "LEFT"]);
    for CardEnd { member, ends_at, near } in ending {
        table.row([member.to_string().into(), zone.cell(*ends_at), left(*near).into()]);
    }
    screen.table(&table, "");
}

fn left(near: Option<NearEnd>) -> String {
    near.map_or_else(|| "HAS ENDED".to_owned(), |near| counted(near.days_left, "day", "days"))
}

fn since(policy: &PolicyVersion, zone: &Zone) -> String {
    let approved = policy.approved.as_ref().map(|approved| approved.signed_at.0);
    let at = policy.active_at.map(|at| at.0).max(approved);
    at.map(|at| format!(", since {}", zone.both(at))).unwrap_or_default()
}

fn waiting(policy: &PolicyVersion, zone: &Zone) -> String {
    let at = policy.active_at.map(|at| format!(", from {} on", zone.both(at.0))).unwrap_or_default();
    let by = policy.proposed.as_ref().map(|by| format!(" by {}", by.member)).unwrap_or_default();
    if policy.approved.is_some() {
        format!("version {} is approved{at}", policy.version)
    } else {
        format!("version {} proposed{by} waits for a second policy officer{at}", policy.version)
    }
}

fn as_json(status: &PartnerStatus) -> Value {
    let authorities: Vec<Value> = status
        .authorities
        .iter()
        .map(|one| json!({ "subject": one.subject, "key": one.key, "not_after": one.not_after }))
        .collect();
    let registrars: Vec<Value> = status
        .registrars
        .iter()
        .map(|one| match &one.holder {
            Some(holder) => json!({ "key": one.key, "member": holder.member, "in_force": holder.is_in_force,
                "key_card_until": holder.card_until }),
            None => json!({ "key": one.key, "member": null }),
        })
        .collect();
    let ending: Vec<Value> = status
        .ending
        .iter()
        .map(|end| {
            json!({ "member": end.member, "ends_at": end.ends_at, "within_days": end.near.map(|near| near.within),
                "days_left": end.near.map(|near| near.days_left) })
        })
        .collect();
    json!({
        "partner": status.partner.partner, "pinned": status.partner.pinned, "is_verified": status.partner.is_verified,
        "members_in_force": status.members_in_force, "authorities": authorities, "registrars": registrars,
        "policy": status.policy, "waiting": status.waiting, "key_cards_ending": ending, "trust": status.trust,
        "now": status.now,
    })
}

/// The warning of key cards that end: those of each step in a clause, by name.
pub(super) fn warning(ending: &[CardEnd]) -> Option<String> {
    let of = |within: Option<u16>| {
        let members: Vec<_> =
            ending.iter().filter(|end| end.near.map(|near| near.within) == within).map(|end| &end.member).collect();
        let count = members.len();
        (count > 0).then(|| (count, joined(members)))
    };
    let mut clauses = Vec::new();
    if let Some((count, members)) = of(None) {
        let cards = counted(count, "key card of your nation has ended", "key cards of your nation have ended");
        clauses.push(format!("{cards}: {members}"));
    }
    for within in crate::domain::expiry::WARNED_DAYS.into_iter().rev() {
        if let Some((count, members)) = of(Some(within)) {
            let cards = counted(count, "key card of your nation ends", "key cards of your nation end");
            clauses.push(format!("{cards} within {}: {members}", counted(within, "day", "days")));
        }
    }
    (!clauses.is_empty()).then(|| clauses.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warning_names_who_is_shut_out_first() {
        let end = |member: &str, near: Option<(u16, u16)>| CardEnd {
            member: member.parse().unwrap(),
            ends_at: "2026-04-01T00:00:00Z".parse().unwrap(),
            near: near.map(|(within, days_left)| NearEnd { within, days_left }),
        };
        assert_eq!(warning(&[]), None);
        let all = [
            end("ISR:avi", Some((60, 50))),
            end("ISR:noa", Some((7, 2))),
            end("ISR:tamar", None),
            end("ISR:lior", Some((7, 5))),
        ];
        assert_eq!(
            warning(&all).unwrap(),
            "1 key card of your nation has ended: ISR:tamar; 2 key cards of your nation end within 7 days: ISR:noa ISR:lior; \
             1 key card of your nation ends within 60 days: ISR:avi"
        );
    }
}
