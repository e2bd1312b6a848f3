//! `entente call print`: a call as one HTML page that is good on paper.
//!
//! The page has no script and asks nobody for anything, so it can be mailed, kept and opened anywhere. What others wrote is
//! escaped, and set in a direction of its own. It has what everybody who may see the call may see: no extension of one partner or
//! proposal, and no deadline that holds for the reader alone.

use crate::{
    cli::{
        cell::size,
        context::{Context, joined},
        error::Result,
        handover::write_or_print,
        output::clean,
        time::{Zone, span},
    },
    client::{Client, naming::CallName},
    domain::{
        call::{self as rules, Audience, Phase},
        id::{MemberId, PartnerCode},
    },
    wire::call::Call,
};
use clap::Args;
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::PathBuf,
};

#[derive(Debug, Args)]
pub struct Print {
    /// The call
    call: CallName,
    /// Write it to this file, which is not there yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// What the page says.
#[derive(Debug)]
struct PrintedCall {
    call: Call,
    rules: rules::CallText,
    program: String,
    /// Who signed it; nobody signs a draft.
    signed_by: Option<MemberId>,
    /// Name and zone of partners whose card is pinned.
    partners: BTreeMap<PartnerCode, (String, Zone)>,
    printed_by: MemberId,
    printed_at: Timestamp,
}

/// Attributes of an element whose text others wrote, in whatever language.
const THEIRS: &str = "dir=\"auto\" lang=\"\"";

const STYLE: &str = "
body { font: 11pt/1.45 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #111; background: #fff; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0.2rem 0 0.6rem; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 0.4rem; break-after: avoid; }
p { margin: 0.4rem 0; }
.code { font-weight: 600; letter-spacing: 0.04em; }
.notice { border: 2px solid #111; padding: 0.4rem 0.8rem; font-weight: 600; }
.text p { white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
th, td { text-align: start; vertical-align: top; padding: 0.25rem 0.6rem 0.25rem 0; border-bottom: 1px solid #999;
  overflow-wrap: anywhere; }
.number { text-align: end; font-variant-numeric: tabular-nums; }
footer { margin-top: 2rem; font-size: 0.85rem; color: #333; overflow-wrap: anywhere; }
@page { margin: 18mm; }
@media print { body { max-width: none; margin: 0; padding: 0; font-size: 10pt; } }
";

/// Prints the page, of a published call only once its publication verified.
pub(super) async fn run(args: &Print, client: &Client, context: &Context) -> Result<()> {
    let id = client.find_call(&args.call).await?;
    let shown = client.api().call(id).await?.body;
    let (call, signed_by) = if shown.publication.is_none() {
        (shown, None)
    } else {
        let verified = client.call(id).await?;
        (verified.call.clone(), Some(verified.signed_by.clone()))
    };
    let mut partners = BTreeMap::new();
    for partner in call.text.eligible.iter().chain(&call.text.funders).chain([&call.lead]) {
        if let Some(pinned) = context.home()?.pinned(partner)? {
            partners.insert(partner.clone(), (pinned.card.name, Zone::named(&pinned.card.zone)?));
        }
    }
    let printed = PrintedCall {
        rules: call.text.to_domain()?,
        program: client.api().program(call.program).await?.name,
        signed_by,
        partners,
        printed_by: client.member_id().await?,
        printed_at: context.exchange_now(),
        call,
    };
    write_or_print(context, &page(&printed), args.to.as_deref())
}

/// The whole page.
fn page(printed: &PrintedCall) -> String {
    let PrintedCall { call, rules, .. } = printed;
    let (code, title) = (escaped(call.text.code.as_str()), escaped(&call.text.title));
    let mut html = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    // Even a page that was tampered with on its way fetches and runs nothing.
    html.push_str(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
    );
    html.push_str("<meta name=\"viewport\" content=\"width=device-width\">\n");
    put(&mut html, &format!("<title>{code}: {title}</title>\n<style>{STYLE}</style>\n</head>\n<body>"));
    put(&mut html, &format!("<p class=\"code\">{code}</p>\n<h1 {THEIRS}>{title}</h1>"));
    if let Some(notice) = notice(printed) {
        put(&mut html, &format!("<p class=\"notice\">{notice}</p>"));
    }
    let program = escaped(&printed.program);
    put(&mut html, &format!("<p>Program: <bdi lang=\"\">{program}</bdi>, led by {}</p>", printed.named(&call.lead)));
    dates(&mut html, printed);
    put(&mut html, "<h2>Who proposes and who decides</h2>\n<table>\n<tbody>");
    let named = |partners: &BTreeSet<PartnerCode>| {
        partners.iter().map(|partner| printed.named(partner)).collect::<Vec<_>>().join(", ")
    };
    let mut rows = vec![("Partners that may take part", named(&call.text.eligible)), ("Parties", parties(rules))];
    if !rules.parties.required.is_empty() {
        rows.push(("Among them always", named(&rules.parties.required)));
    }
    rows.push(("Funders, who all sign each decision", named(&call.text.funders)));
    if !call.text.combined_roles.is_empty() {
        rows.push(("Roles that one member may have together", escaped(&joined(&call.text.combined_roles))));
    }
    if !call.text.letters.is_all_parties() {
        rows.push(("Letters about decisions", "each to one party alone".to_owned()));
    }
    if !call.text.topics.is_empty() {
        rows.push((
            "Topics, of which a proposal names one",
            escaped(&call.text.topics.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        ));
    }
    for (name, value) in rows {
        put(&mut html, &format!("<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>"));
    }
    put(&mut html, "</tbody>\n</table>");
    put(&mut html, "<h2>The call</h2>\n<div class=\"text\">");
    for paragraph in paragraphs(&call.text.text) {
        put(&mut html, &format!("<p {THEIRS}>{paragraph}</p>"));
    }
    put(&mut html, "</div>");
    criteria(&mut html, rules);
    slots(&mut html, rules);
    footer(&mut html, printed);
    html.push_str("</body>\n</html>\n");
    html
}

/// What a reader must know first.
fn notice(printed: &PrintedCall) -> Option<&'static str> {
    match printed.call.phase {
        _ if printed.signed_by.is_none() => Some("This is a draft. Nobody has signed it, and it can change."),
        Phase::Cancelled => Some("This call was cancelled."),
        Phase::Closed => Some("This call is closed: everything under it is decided."),
        _ => None,
    }
}

/// The instants in UTC and in the zone of each partner, one zone a line.
fn dates(html: &mut String, printed: &PrintedCall) {
    let (call, schedule) = (&printed.call, &printed.rules.schedule);
    let (deadline, due) = (call.deadline_at.0, call.reviews_due_at.0);
    let heads = ["Time zone", "Opens", "Deadline", "Files arrive until", "Reviews due"];
    table_head(html, "Dates", &heads);
    let instants = [schedule.opens_at, deadline, schedule.grace_end(deadline), due];
    let mut zones: BTreeMap<&str, (&Zone, Vec<&PartnerCode>)> = BTreeMap::new();
    for partner in &call.text.eligible {
        if let Some((_, zone)) = printed.partners.get(partner) {
            zones.entry(zone.name()).or_insert((zone, Vec::new())).1.push(partner);
        }
    }
    let row = |html: &mut String, name: &str, zone: &Zone| {
        let cells: Vec<String> = instants.iter().map(|at| format!("<td>{}</td>", zone.here(*at))).collect();
        put(html, &format!("<tr><th scope=\"row\">{name}</th>{}</tr>", cells.concat()));
    };
    row(html, "UTC", &Zone::utc());
    for (name, (zone, partners)) in zones.into_iter().filter(|(name, _)| *name != "UTC") {
        row(html, &format!("{} ({})", escaped(name), joined(partners)), zone);
    }
    put(html, "</tbody>\n</table>");
    if deadline > schedule.deadline_at {
        let was = Zone::utc().here(schedule.deadline_at);
        put(html, &format!("<p>The deadline was extended: in the text that was signed it is {was} UTC.</p>"));
    }
    if due > schedule.reviews_due_at {
        let was = Zone::utc().here(schedule.reviews_due_at);
        put(html, &format!("<p>The date for reviews was moved: in the text that was signed it is {was} UTC.</p>"));
    }
    let grace = span(schedule.grace.as_secs().unsigned_abs());
    put(
        html,
        &format!(
            "<p>Every party signs by the deadline, which is in time to the second. The files that they signed for may still \
             arrive for {grace} after it. Nothing is opened before that.</p>"
        ),
    );
    let unknown: Vec<&PartnerCode> =
        call.text.eligible.iter().filter(|code| !printed.partners.contains_key(code)).collect();
    if !unknown.is_empty() {
        put(html, &format!("<p>The time zone of {} was not known where this was printed.</p>", joined(unknown)));
    }
}

fn parties(rules: &rules::CallText) -> String {
    let (least, most) = (rules.parties.at_least, rules.parties.at_most);
    let count = if least == most { least.to_string() } else { format!("{least} to {most}") };
    format!("{count}, of different partners")
}

fn criteria(html: &mut String, rules: &rules::CallText) {
    table_head(html, "Criteria", &["Criterion", "Scores", "Threshold", "Weight"]);
    for criterion in &rules.criteria {
        let threshold = criterion.threshold.map_or_else(|| "none".to_owned(), |least| least.to_number().to_string());
        put(
            html,
            &format!(
                "<tr><td {THEIRS}>{}</td><td>0 to {} in steps of {}</td><td class=\"number\">{threshold}</td>\
                 <td class=\"number\">{}</td></tr>",
                escaped(&criterion.title),
                criterion.max.to_number(),
                criterion.step.to_number(),
                criterion.weight,
            ),
        );
    }
    put(html, "</tbody>\n</table>");
    let total = match rules.total_threshold {
        Some(least) => format!("A proposal needs {} points in total.", least.to_number()),
        None => "There is no threshold for the total.".to_owned(),
    };
    put(html, &format!("<p>{total} The total is the weighted average of the scores times the number of criteria.</p>"));
}

fn slots(html: &mut String, rules: &rules::CallText) {
    table_head(html, "Documents", &["Document", "Required", "Read by", "At most", "File types"]);
    for slot in rules.all_slots() {
        let required = match (slot.required, slot.audience) {
            (true, Audience::Panel) => "yes",
            (true, Audience::Staff) => "yes, from each party",
            (false, _) => "no",
        };
        let audience = match slot.audience {
            Audience::Panel => "parties and panel",
            Audience::Staff => "its own party, officers and deciders",
        };
        put(
            html,
            &format!(
                "<tr><td><bdi lang=\"\">{}</bdi> ({})</td><td>{required}</td><td>{audience}</td><td>{}</td><td>{}</td></tr>",
                escaped(&slot.title),
                escaped(slot.name.as_str()),
                size(slot.max_bytes),
                escaped(&slot.media_types.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
            ),
        );
    }
    put(html, "</tbody>\n</table>");
}

fn footer(html: &mut String, printed: &PrintedCall) {
    let PrintedCall { call, signed_by, printed_by, printed_at, .. } = printed;
    let at = Zone::utc().here(*printed_at);
    let signed = match signed_by {
        Some(signer) => format!(
            "Version {} of this call was signed by {} of {}. The signature was verified by {} when this was printed, {at} UTC. \
             Extensions are as the exchange stated them then.",
            call.version,
            escaped(&signer.to_string()),
            printed.named(signer.partner()),
            escaped(&printed_by.to_string()),
        ),
        None => format!("A draft as {} printed it, {at} UTC. Nobody has signed it.", escaped(&printed_by.to_string())),
    };
    put(html, &format!("<footer>\n<p>{signed}</p>\n<p>SHA-256 of the text: {}</p>\n</footer>", call.text_sha256));
}

impl PrintedCall {
    /// A partner by its code, and by its name where its card is pinned.
    fn named(&self, partner: &PartnerCode) -> String {
        match self.partners.get(partner) {
            Some((name, _)) => format!("{partner} (<bdi lang=\"\">{}</bdi>)", escaped(name)),
            None => partner.to_string(),
        }
    }
}

fn table_head(html: &mut String, title: &str, heads: &[&str]) {
    let heads: Vec<String> = heads.iter().map(|head| format!("<th scope=\"col\">{head}</th>")).collect();
    put(html, &format!("<h2>{title}</h2>\n<table>\n<thead>\n<tr>{}</tr>\n</thead>\n<tbody>", heads.concat()));
}

fn put(html: &mut String, line: &str) {
    writeln!(html, "{line}").expect("writing to memory does not fail");
}

/// Paragraphs between empty lines, escaped; the lines of each stay lines.
fn paragraphs(text: &str) -> Vec<String> {
    let mut found = vec![Vec::new()];
    for line in text.lines() {
        if line.trim().is_empty() {
            found.push(Vec::new());
        } else if let Some(last) = found.last_mut() {
            last.push(escaped(line));
        }
    }
    found.iter().filter(|lines| !lines.is_empty()).map(|lines| lines.join("\n")).collect()
}

/// Text of others as HTML: nothing in it is markup, and what would steer the direction of the page or cannot be seen is shown
/// by its number.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            file::parse,
            templates::{TEMPLATES, filled_in},
        },
        *,
    };
    use serde_json::json;

    fn printed(change: impl FnOnce(&mut Call)) -> PrintedCall {
        let text = parse(filled_in(TEMPLATES[0].1).as_bytes()).unwrap();
        let schedule = &text.schedule;
        let mut call: Call = serde_json::from_value(json!({
            "id": "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "program": "prog_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "lead": "USA",
            "phase": "open", "version": 2, "text": text, "text_sha256": text.digest(), "deadline_at": schedule.deadline_at,
            "my_deadline_at": "2028-04-20T00:00:00Z", "sealed_until": "2028-04-21T00:00:00Z",
            "reviews_due_at": schedule.reviews_due_at, "my_roles": [],
        }))
        .unwrap();
        change(&mut call);
        let partner =
            |code: &str, name: &str, zone: &str| (code.parse().unwrap(), (name.to_owned(), Zone::named(zone).unwrap()));
        PrintedCall {
            rules: call.text.to_domain().unwrap(),
            program: "Joint <industrial> research".into(),
            signed_by: Some("USA:dana".parse().unwrap()),
            partners: [partner("ISR", "ישראל", "Asia/Jerusalem"), partner("USA", "United States", "America/New_York")]
                .into(),
            printed_by: "ISR:avi".parse().unwrap(),
            printed_at: "2028-01-12T10:00:00Z".parse().unwrap(),
            call,
        }
    }

    #[test]
    fn page_has_dates_in_each_zone_criteria_documents_and_who_signed() {
        let html = page(&printed(|_| {}));
        let wanted = [
            "<th scope=\"row\">UTC</th><td>2028-01-11 14:00</td><td>2028-04-03 14:00</td><td>2028-04-04 14:00</td>",
            "<th scope=\"row\">Asia/Jerusalem (ISR)</th><td>2028-01-11 16:00</td><td>2028-04-03 17:00</td>",
            "<th scope=\"row\">America/New_York (USA)</th><td>2028-01-11 09:00</td><td>2028-04-03 10:00</td>",
            "<td>0 to 5 in steps of 0.5</td><td class=\"number\">3</td><td class=\"number\">1</td>",
            "A proposal needs 10 points in total.",
            "(work-plan)</td><td>yes</td><td>parties and panel</td><td>25 MiB</td><td>application/pdf</td>",
            "(shareholders)</td><td>yes, from each party</td><td>its own party, officers and deciders</td>",
            "Version 2 of this call was signed by USA:dana of USA (<bdi lang=\"\">United States</bdi>).",
            "verified by ISR:avi when this was printed, 2028-01-12 10:00 UTC",
            "Joint &lt;industrial&gt; research",
        ];
        for wanted in wanted {
            assert!(html.contains(wanted), "no `{wanted}` in {html}");
        }
        assert!(!html.contains("2028-04-20"), "a deadline of one partner alone is on no page for all: {html}");
        assert!(!html.contains("class=\"notice\"") && !html.contains("was extended"), "{html}");
    }

    #[test]
    fn draft_cancelled_call_and_extension_are_said() {
        let mut draft = printed(|_| {});
        draft.signed_by = None;
        assert!(page(&draft).contains("<p class=\"notice\">This is a draft. Nobody has signed it"));
        assert!(page(&printed(|call| call.phase = Phase::Cancelled)).contains("This call was cancelled."));
        let later = |call: &mut Call| call.deadline_at = "2028-04-10T14:00:00Z".parse::<Timestamp>().unwrap().into();
        let html = page(&printed(later));
        assert!(html.contains("<td>2028-04-10 14:00</td><td>2028-04-11 14:00</td>"), "{html}");
        assert!(html.contains("in the text that was signed it is 2028-04-03 14:00 UTC"), "{html}");
    }

    #[test]
    fn nothing_that_others_wrote_is_markup_or_turns_the_page_around() {
        let hostile = "</title><script>alert('1')</script> \u{202e}한국 \"ישראל\" & <b onload=x>\u{7}";
        let mut printed = printed(|call| {
            call.text.title = hostile.into();
            call.text.text = format!("first\nsecond\n\n{hostile}\n<img src=http://example.org/x>\n\n\n");
            call.text.criteria[0].title = hostile.into();
            call.text.slots[0].title = hostile.into();
        });
        printed.program = hostile.into();
        printed.partners.get_mut(&"USA".parse().unwrap()).unwrap().0 = hostile.into();
        let html = page(&printed);
        let escaped = "&lt;/title&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; \\u{202e}한국 &quot;ישראל&quot; &amp; &lt;b onload=x&gt;\\u{7}";
        assert!(html.matches(escaped).count() >= 6, "{html}");
        assert!(html.contains(&format!("<h1 dir=\"auto\" lang=\"\">{escaped}</h1>")), "{html}");
        assert!(html.contains("<p dir=\"auto\" lang=\"\">first\nsecond</p>"), "{html}");
        // Every tag is one that this page makes itself.
        let known = [
            "!DOCTYPE", "bdi", "body", "div", "footer", "h1", "h2", "head", "html", "meta", "p", "style", "table",
            "tbody", "td", "th", "thead", "title", "tr",
        ];
        for tag in html.split('<').skip(1) {
            let name = tag.trim_start_matches('/').split([' ', '>', '\n']).next().unwrap();
            assert!(known.contains(&name), "`{name}` in {html}");
        }
        assert!(!html.contains("<script") && !html.contains("src=\"") && !html.contains("url("), "{html}");
        assert!(html.chars().all(|c| c == '\n' || !(c.is_control() || crate::domain::name::directs(c))), "{html}");
    }
}
