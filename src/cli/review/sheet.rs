//! The form for reviews as a spreadsheet: a row for each proposal and criterion. Read back, a cell is what its reviewer typed.

use crate::{
    cli::rows,
    client::review_form::{FormPart, FormProposal, FormSection, OVERALL, RECOMMENDATION, ReviewForm, one_line, plain},
    domain::review::Points,
};

const COLUMNS: [&str; 7] = ["proposal", "title", "criterion", "about", "score", "comment", "draft"];
/// Spreadsheets take a file that begins so for UTF-8.
const MARK: char = '\u{feff}';

/// The form as CSV.
pub(super) fn written(form: &ReviewForm) -> String {
    let rows: Vec<[String; 7]> = form.proposals.iter().flat_map(|proposal| rows_of(form, proposal)).collect();
    let rows = rows.iter().map(|row| row.iter().map(String::as_str).collect());
    format!("{MARK}{}", rows::written(std::iter::once(COLUMNS.to_vec()).chain(rows)))
}

fn rows_of(form: &ReviewForm, proposal: &FormProposal) -> Vec<[String; 7]> {
    let title = proposal.title.as_deref().map(one_line).unwrap_or_default();
    let row = |criterion: &str, about: String, score: String, comment: &str| {
        let comment = rows::kept(comment);
        let draft = proposal.mark.clone();
        [proposal.reference.to_string(), title.clone(), criterion.to_owned(), about, score, comment, draft]
    };
    let body = &proposal.body;
    let scored = form.criteria.iter().map(|criterion| {
        let score = body.scores.get(&criterion.name).and_then(|score| Points::from_number(*score));
        let comment = body.comments.get(&criterion.name).map_or("", String::as_str);
        let about = ReviewForm::criterion_in_words(criterion);
        row(criterion.name.as_str(), about, score.map(plain).unwrap_or_default(), comment)
    });
    let whole = [
        row(OVERALL, "The assessment as a whole, in `comment`".into(), String::new(), &body.overall),
        row(
            RECOMMENDATION,
            "What you recommend, in a word, in `comment`".into(),
            String::new(),
            body.recommendation.as_deref().unwrap_or_default(),
        ),
    ];
    scored.chain(whole).collect()
}

/// What a sheet has, section by section; the rows of a proposal may stand anywhere in it.
///
/// # Errors
/// When it is no such table.
pub(super) fn read(content: &[u8]) -> Result<Vec<FormSection>, String> {
    let mut sections: Vec<FormSection> = Vec::new();
    for row in rows::read(content, &["proposal", "criterion", "score", "comment"], &["draft"])? {
        let (line, proposal) = (row.line, row.cell("proposal").to_uppercase());
        let part = FormPart {
            line,
            name: row.cell("criterion").to_owned(),
            score: Some((line, row.cell("score").to_owned())),
            comment: rows::restored(row.cell("comment")),
        };
        let mark = row.optional("draft").unwrap_or_default();
        match sections.iter_mut().find(|section| section.proposal == proposal) {
            Some(section) => section.parts.push(part),
            None => sections.push(FormSection { line, proposal, mark: mark.to_owned(), parts: vec![part] }),
        }
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::{form_lines::FormFault, reviews::ReviewBody},
        domain::review::Criterion,
    };

    fn form(title: &str, comment: &str) -> ReviewForm {
        let points = |number| Points::from_number(number).unwrap();
        let criterion = Criterion {
            name: "merit".parse().unwrap(),
            title: "Merit".into(),
            max: points(5.0),
            step: points(0.5),
            weight: 1,
            threshold: None,
        };
        let body = ReviewBody {
            scores: [("merit".parse().unwrap(), 4.5)].into(),
            comments: [("merit".parse().unwrap(), comment.to_owned())].into(),
            overall: "- good\n- very".into(),
            recommendation: None,
        };
        let proposal = FormProposal {
            id: "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            reference: "BIRD26-48179".parse().unwrap(),
            title: Some(title.to_owned()),
            mark: "0123456789abcdef".into(),
            body,
        };
        ReviewForm {
            code: "BIRD26".parse().unwrap(),
            title: "BIRD".into(),
            criteria: vec![criterion],
            total_threshold: None,
            reviews_due_at: "2026-05-16T00:00:00Z".parse().unwrap(),
            proposals: vec![proposal],
            handed_in: Vec::new(),
            undeclared: Vec::new(),
        }
    }

    #[test]
    fn sheet_comes_back_as_it_was_written_whatever_is_in_it() {
        for (title, comment) in [
            ("Maps, \"fields\"\nBIRD26-48179,x,merit,,0,forged,", "clear, \"very\"; and\n\n= more"),
            ("=HYPERLINK(\"http://example.org\")", "'quoted' +1"),
            ("\u{202e}x", "ניווט; - בלי"),
        ] {
            let form = form(title, comment);
            let text = written(&form);
            assert!(text.starts_with("\u{feff}proposal,title,criterion,about,score,comment,draft\r\n"), "{text}");
            assert!(!text.contains(",=") && !text.contains("\"="), "{text}");
            let filled = form.filled_by(read(text.as_bytes()).unwrap(), Vec::new()).unwrap();
            assert_eq!(filled.reviews.len(), 1);
            assert_eq!(filled.reviews[0].body, form.proposals[0].body);
            assert_eq!(filled.reviews[0].mark, form.proposals[0].mark);
        }
    }

    #[test]
    fn fault_in_a_sheet_names_its_row() {
        let text =
            "Proposal;Criterion;Score;Comment\r\nBIRD26-48179;merit;4,5;\"two\r\nlines\"\r\nBIRD26-48179;style;1;\r\n";
        let found = form("x", "y").filled_by(read(text.as_bytes()).unwrap(), Vec::new()).unwrap_err();
        let [FormFault { line: 4, detail }] = &found[..] else { panic!("{found:?}") };
        assert!(detail.starts_with("the call has no criterion `style`"), "{detail}");
        assert!(read(b"proposal,score\n").unwrap_err().contains("no column `criterion`"));
    }
}
