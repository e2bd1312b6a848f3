//! `entente call new`: a call file to fill in, from one of four templates or from an earlier call.
//!
//! What only the officer can know is blank, and a blank is refused by name when the file is drafted: the dates always, so that
//! no instant is published that nobody chose, and the code, which no two calls of a program share.

use super::templates::TEMPLATES;
use crate::{
    cli::{context::Context, error::Result, handover::write_or_print, time::span},
    client::{Client, naming::CallName},
    domain::{id::MemberId, name},
    wire::{
        Time,
        call::{CallText, Criterion, Slot},
    },
};
use clap::Args;
use std::{fmt::Write as _, path::PathBuf, str::FromStr};

#[derive(Debug, Args)]
pub struct NewCallFile {
    /// A template (bilateral-industry, joint-foundation, multilateral-panel, short-first-stage) or an earlier call
    #[arg(long, value_name = "TEMPLATE|CALL", default_value = "bilateral-industry")]
    from: CallSource,
    /// Write it to this file, which is not there yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// What a new call begins from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum CallSource {
    Template(&'static str),
    Call(CallName),
}

impl FromStr for CallSource {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let named = text.trim().to_ascii_lowercase();
        if let Some((_, template)) = TEMPLATES.iter().find(|(name, _)| *name == named) {
            return Ok(Self::Template(template));
        }
        text.parse().map(Self::Call).map_err(|error| {
            let names = TEMPLATES.map(|(name, _)| name).join(", ");
            format!("{error}; the templates are {names}")
        })
    }
}

/// Writes the file. Templates need no connection.
pub(super) async fn run(args: &NewCallFile, context: &Context) -> Result<()> {
    let text = match &args.from {
        CallSource::Template(template) => (*template).to_owned(),
        CallSource::Call(call) => from_call(&context.client().await?, call).await?,
    };
    write_or_print(context, &text, args.to.as_deref())
}

/// A file from the text in force of an earlier call, once its publication verified; from a draft as the exchange has it.
async fn from_call(client: &Client, name: &CallName) -> Result<String> {
    let id = client.find_call(name).await?;
    let shown = client.api().call(id).await?.body;
    if shown.publication.is_none() {
        return Ok(blanked(&shown.text, None));
    }
    let call = client.call(id).await?;
    Ok(blanked(&call.text, Some((call.publication.version, &call.signed_by))))
}

/// The file of a call like this one: its dates and its code are blank, with what they were beside them.
fn blanked(text: &CallText, signed: Option<(u32, &MemberId)>) -> String {
    let mut file = String::new();
    let code = &text.code;
    let from = match signed {
        Some((version, by)) => format!("version {version} of {code}, as {by} signed it"),
        None => format!("the draft {code}, which nobody has signed"),
    };
    let schedule = &text.schedule;
    put(&mut file, &format!("# A call from {from}. Fill in what is blank, look at the rest, and draft it with"));
    put(&mut file, "#\n#     entente call draft --program PROGRAM --file call.toml\n#");
    put(&mut file, "# Nothing in it is sealed: every member of the program's partners may read a published call.\n");
    put(
        &mut file,
        "# TO BE FILLED IN: another code, since no two published calls of a program have the same. The references of its",
    );
    put(&mut file, &format!("# proposals begin with it, so it never changes. It was {code}."));
    put(&mut file, "code = \"\"\n");
    put(&mut file, &format!("title = {}\n", quoted(&text.title)));
    put(&mut file, &format!("text = {}\n", paragraphs(&text.text)));
    put(&mut file, &format!("topics = {}", listed(&text.topics)));
    put(&mut file, &format!("eligible = {}", listed(&text.eligible)));
    put(&mut file, &format!("funders = {}", listed(&text.funders)));
    if !text.combined_roles.is_empty() {
        put(&mut file, &format!("combined_roles = {}", listed(&text.combined_roles)));
    }
    if !text.letters.is_all_parties() {
        put(&mut file, &format!("letters = \"{}\"", text.letters));
    }
    if let Some(total) = text.total_threshold {
        put(&mut file, &format!("total_threshold = {total}"));
    }
    let rule = &text.parties;
    put(&mut file, "\n[parties]");
    put(&mut file, &format!("at_least = {}\nat_most = {}", rule.at_least, rule.at_most));
    put(&mut file, &format!("required = {}", listed(&rule.required)));
    put(
        &mut file,
        "\n# TO BE FILLED IN: like `2027-04-01 17:00 Asia/Seoul`, or in RFC 3339. The dates of the earlier call are beside",
    );
    put(&mut file, "# each line.\n[schedule]");
    let (opened, deadline) = (schedule.opens_at, schedule.deadline_at);
    put(&mut file, &format!("opens_at = \"\"          # was {}", opened.0));
    let later = |from: Time, to: Time| span((to.0.as_second() - from.0.as_second()).unsigned_abs());
    put(
        &mut file,
        &format!("deadline_at = \"\"       # was {}, {} after it opened", deadline.0, later(opened, deadline)),
    );
    put(&mut file, &format!("grace_seconds = {}", schedule.grace_seconds));
    let due = schedule.reviews_due_at;
    put(&mut file, &format!("reviews_due_at = \"\"    # was {}, {} after the deadline", due.0, later(deadline, due)));
    if let Some(until) = schedule.extendable_until {
        let after = later(deadline, until);
        put(&mut file, &format!("extendable_until = \"\"  # was {}, {after} after the deadline; optional", until.0));
    }
    text.criteria.iter().for_each(|criterion| put(&mut file, &self::criterion(criterion)));
    text.slots.iter().for_each(|slot| put(&mut file, &self::slot(slot)));
    file
}

fn criterion(criterion: &Criterion) -> String {
    let Criterion { name, title, max, step, weight, threshold } = criterion;
    let mut block = format!("\n[[criteria]]\nname = {}\ntitle = {}\n", quoted(name.as_str()), quoted(title));
    write!(block, "max = {max}\nstep = {step}\nweight = {weight}").expect("writing to memory does not fail");
    if let Some(threshold) = threshold {
        write!(block, "\nthreshold = {threshold}").expect("writing to memory does not fail");
    }
    block
}

fn slot(slot: &Slot) -> String {
    let Slot { name, title, required, media_types, max_bytes, audience } = slot;
    format!(
        "\n[[slots]]\nname = {}\ntitle = {}\nrequired = {required}\nmedia_types = {}\nmax_bytes = {}\naudience = {}",
        quoted(name.as_str()),
        quoted(title),
        listed(media_types),
        size(*max_bytes),
        quoted(audience.as_str()),
    )
}

fn put(file: &mut String, line: &str) {
    file.push_str(line);
    file.push('\n');
}

/// A size in the largest unit that says it exactly.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let exact = units.into_iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    exact.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("\"{} {unit}\"", bytes >> shift))
}

fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| quoted(&item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

/// A basic string of TOML on one line. What an editor would not show is escaped.
fn quoted(text: &str) -> String {
    let mut string = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => string.extend(['\\', c]),
            c => push_seen(&mut string, c),
        }
    }
    string + "\""
}

/// The same over several lines, which are kept as they are.
fn paragraphs(text: &str) -> String {
    // The line end after the quotes is not part of the text.
    let mut string = String::from("\"\"\"\n");
    let mut chars = text.chars().peekable();
    let mut before = None;
    while let Some(c) = chars.next() {
        match c {
            '\\' => string.push_str("\\\\"),
            // Two in a row, and one before the closing quotes, could end the text early.
            '"' if before == Some('"') || chars.peek().is_none() => string.push_str("\\\""),
            '"' | '\n' | '\t' => string.push(c),
            c => push_seen(&mut string, c),
        }
        before = Some(c);
    }
    string + "\"\"\""
}

fn push_seen(string: &mut String, c: char) {
    if name::unseen(c.encode_utf8(&mut [0; 4])).is_some() {
        write!(string, "\\U{:08X}", u32::from(c)).expect("writing to memory does not fail");
    } else {
        string.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{file::parse, templates::filled_in},
        *,
    };

    #[test]
    fn template_is_a_call_that_can_be_drafted_once_its_blanks_are_filled_in() {
        for (name, template) in TEMPLATES {
            let text = parse(filled_in(template).as_bytes()).unwrap_or_else(|fault| panic!("{name}: {fault}"));
            text.to_domain().unwrap().validate(&text.eligible).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            let scale = |criterion: &Criterion| (criterion.max.to_string(), criterion.step.to_string());
            let scales: Vec<_> = text.criteria.iter().map(scale).collect();
            assert!(scales.iter().all(|scale| *scale == ("5".to_owned(), "0.5".to_owned())), "{name}: {scales:?}");
        }
    }

    #[test]
    fn template_with_blanks_is_refused_and_each_blank_is_named() {
        for (name, template) in TEMPLATES {
            let fault = parse(template.as_bytes()).unwrap_err();
            let wanted = "fill in `code`, `opens_at`, `deadline_at` and `reviews_due_at`";
            assert!(fault.starts_with(wanted), "{name}: {fault}");
            assert!(template.lines().all(|line| line.chars().count() <= 130), "{name}");
        }
    }

    #[test]
    fn templates_score_as_such_calls_do() {
        let read = |name: &str| {
            let (_, template) = TEMPLATES.into_iter().find(|(of, _)| *of == name).unwrap();
            parse(filled_in(template).as_bytes()).unwrap()
        };
        let thresholds = |text: &CallText| {
            text.criteria.iter().filter_map(|one| one.threshold).map(|n| n.to_string()).collect::<Vec<_>>()
        };
        for name in ["bilateral-industry", "multilateral-panel"] {
            let text = read(name);
            assert_eq!((thresholds(&text), text.total_threshold), (vec!["3".to_owned(); 3], Some(10.0)), "{name}");
        }
        assert_eq!(thresholds(&read("joint-foundation")), vec!["3"; 5]);
        assert_eq!(thresholds(&read("short-first-stage")), vec!["4"; 2]);
    }

    #[test]
    fn name_is_a_template_or_a_call_and_else_the_templates_are_named() {
        let source = |text: &str| text.parse::<CallSource>();
        assert_eq!(source("Joint-Foundation").unwrap(), CallSource::Template(TEMPLATES[1].1));
        assert_eq!(source("bird26").unwrap(), CallSource::Call("BIRD26".parse().unwrap()));
        assert!(source("joint-fundation").unwrap_err().contains("joint-foundation"));
        for (name, _) in TEMPLATES {
            assert!(name.parse::<CallName>().is_err(), "`{name}` could be the code of a call");
        }
    }

    #[test]
    fn file_from_a_call_is_that_call_but_for_its_dates_and_code() {
        let mut text = parse(filled_in(TEMPLATES[0].1).as_bytes()).unwrap();
        text.title = "한국 \"ישראל\" \\ é".into();
        text.text = "A \"\"\"quote\"\"\"\n\n\\ \u{202e}הצעה\r\n\tlast line \"".into();
        text.criteria[0].weight = 3;
        text.criteria[1].threshold = None;
        text.slots[1].max_bytes = (5 << 20) + 1;
        text.slots[2].title = "line\u{7f}".into();
        text.combined_roles = ["decider", "officer"].map(|role| role.parse().unwrap()).into();
        text.letters = crate::domain::call::LetterAudience::OneParty;
        text.schedule.extendable_until = Some("2028-05-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().into());
        let file = blanked(&text, Some((2, &"USA:dana".parse().unwrap())));
        assert!(file.starts_with("# A call from version 2 of BIRD28, as USA:dana signed it."), "{file}");
        let fault = parse(file.as_bytes()).unwrap_err();
        let blanks = "fill in `code`, `opens_at`, `deadline_at`, `reviews_due_at` and `extendable_until`";
        assert!(fault.starts_with(blanks), "{fault}");
        assert!(
            file.contains("deadline_at = \"\"       # was 2028-04-03T14:00:00Z, 83 d 0 h after it opened"),
            "{file}"
        );
        assert!(!file.contains('\u{202e}') && file.contains("\\U0000202E"), "{file}");
        assert_eq!(parse(filled_in(&file).as_bytes()).unwrap(), text);
        let draft = blanked(&text, None);
        assert!(draft.starts_with("# A call from the draft BIRD28, which nobody has signed."), "{draft}");
    }
}
