//! The files that people fill in between two commands, as they do in an editor or a spreadsheet.

/// A call's file: its code, its nations and its dates in the place of those of the template.
pub(super) fn filled_call(text: &str, code: &str, partners: &[&str], [opens, deadline, due]: [String; 3]) -> String {
    let nations = partners.iter().map(|partner| format!("\"{partner}\"")).collect::<Vec<_>>().join(", ");
    let filled = text.lines().map(|line| {
        let value = |name: &str| line.starts_with(name) && line[name.len()..].starts_with(" = ");
        match line {
            _ if value("code") => format!("code = \"{code}\""),
            _ if value("eligible") => format!("eligible = [{nations}]"),
            _ if value("funders") => format!("funders = [{nations}]"),
            _ if value("at_least") => "at_least = 2".to_owned(),
            _ if value("at_most") => "at_most = 2".to_owned(),
            _ if line.starts_with("required = [") => "required = []".to_owned(),
            _ if value("opens_at") => format!("opens_at = \"{opens}\""),
            _ if value("deadline_at") => format!("deadline_at = \"{deadline}\""),
            _ if value("reviews_due_at") => format!("reviews_due_at = \"{due}\""),
            _ => line.to_owned(),
        }
    });
    filled.collect::<Vec<_>>().join("\n")
}

/// The form of a summary.
pub(super) fn filled_summary(form: &str, title: &str) -> String {
    form.replacen("> One line.\n\n", &format!("> One line.\n\n{title}"), 1)
}

/// The form of a reviewer: the same score for each criterion of a proposal.
pub(super) fn filled_reviews(form: &str) -> String {
    let (mut score, mut filled) = (String::new(), String::new());
    for line in form.lines() {
        if let Some(reference) = line.strip_prefix("## ") {
            score = score_of(reference).to_string();
        }
        filled.push_str(line);
        if line == "score:" {
            filled.push(' ');
            filled.push_str(&score);
        }
        filled.push('\n');
        if line == "comment:" {
            filled.push_str("Sound, and well argued.\n");
        }
    }
    filled
}

/// What everybody scores a proposal with; some fall below the threshold.
pub(super) fn score_of(reference: &str) -> f64 {
    let digits: u32 = reference.bytes().filter(u8::is_ascii_digit).map(|digit| u32::from(digit - b'0')).sum();
    f64::from(digits % 6) / 2.0 + 2.5
}

/// The sheet of a decider: the first ranks are funded, the next are kept in reserve, the rest is declined.
pub(super) fn filled_decisions(sheet: &str, funded: usize) -> String {
    let mut rows = csv::ReaderBuilder::new().has_headers(false).from_reader(sheet.as_bytes());
    let mut filled = csv::Writer::from_writer(Vec::new());
    let mut columns = None;
    for row in rows.records() {
        let row = row.unwrap();
        let at = |name: &str| row.iter().position(|cell| cell == name);
        let Some((rank, outcome)) = columns else {
            columns = at("RANK").zip(at("OUTCOME"));
            filled.write_record(&row).unwrap();
            continue;
        };
        let decided = match row[rank].parse::<usize>() {
            Ok(rank) if rank <= funded => "fund",
            Ok(rank) if rank <= funded + funded / 2 => "reserve",
            _ => "decline",
        };
        filled.write_record((0..).zip(&row).map(|(at, cell)| if at == outcome { decided } else { cell })).unwrap();
    }
    String::from_utf8(filled.into_inner().unwrap()).unwrap()
}
