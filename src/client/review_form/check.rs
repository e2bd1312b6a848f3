//! Compares what a file has with the form: which proposal and criterion each part is about, and whether each score is on its scale.

use super::{
    FilledForm, FilledReview, FilledState, FormPart, FormSection, OVERALL, RECOMMENDATION, ReviewForm, normal, plain,
};
use crate::{
    client::{
        form_lines::{FormFault, normal_text},
        reviews::{ReviewBody, check_length},
    },
    domain::{
        id::Slug,
        reference::Reference,
        review::{Criterion, Points},
        score_total::ScoreTotal,
        text::choices,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// What the sections say, or every fault by line.
pub(super) fn filled(
    form: &ReviewForm,
    sections: Vec<FormSection>,
    mut faults: Vec<FormFault>,
) -> Result<FilledForm, Vec<FormFault>> {
    let (mut filled, mut seen) = (FilledForm { reviews: Vec::new(), handed_in: Vec::new() }, BTreeMap::new());
    if sections.is_empty() && faults.is_empty() {
        faults.push(FormFault { line: 1, detail: "there is no proposal in it; print the form again".into() });
    }
    for section in sections {
        let line = section.line;
        let reference = match Reference::typed(&section.proposal) {
            Ok(reference) => reference,
            Err(error) => {
                faults.push(FormFault { line, detail: error.to_string() });
                continue;
            }
        };
        if let Some(first) = seen.insert(reference.clone(), line) {
            faults.push(FormFault { line, detail: format!("`{reference}` is in line {first} already") });
            continue;
        }
        if form.handed_in.contains(&reference) {
            filled.handed_in.push(reference);
            continue;
        }
        let Some(proposal) = form.proposals.iter().find(|proposal| proposal.reference == reference) else {
            let detail = if form.undeclared.contains(&reference) {
                format!("`{reference}` waits for your declaration: `entente conflict declare {reference}`")
            } else {
                format!("`{reference}` is not among the proposals that you have to review under {}", form.code)
            };
            faults.push(FormFault { line, detail });
            continue;
        };
        let mark = section.mark.clone();
        let body = normal(review(form, section, &mut faults));
        if let Err(error) = check_length(&body) {
            faults.push(FormFault { line, detail: error.to_string() });
        }
        let total = ScoreTotal::of(&form.criteria, form.total_threshold, &points(&body));
        let (id, title, state) = (proposal.id, proposal.title.clone(), FilledState::Empty);
        filled.reviews.push(FilledReview { id, reference, title, body, total, mark, state });
    }
    if faults.is_empty() {
        return Ok(filled);
    }
    faults.sort();
    Err(faults)
}

fn review(form: &ReviewForm, section: FormSection, faults: &mut Vec<FormFault>) -> ReviewBody {
    let (mut body, mut seen) = (ReviewBody::default(), BTreeSet::new());
    for FormPart { line, name, score, comment } in section.parts {
        let name = name.trim().to_lowercase();
        if !seen.insert(name.clone()) {
            faults.push(FormFault { line, detail: format!("`{name}` is a duplicate for this proposal") });
            continue;
        }
        let written = score.filter(|(_, text)| !text.trim().is_empty());
        if name == OVERALL || name == RECOMMENDATION {
            if let Some((line, _)) = written {
                faults.push(FormFault { line, detail: format!("`{name}` has no score") });
            }
            let text = normal_text(&comment);
            if name == OVERALL {
                body.overall = text;
            } else {
                body.recommendation = Some(text).filter(|text| !text.is_empty());
            }
            continue;
        }
        let Some(criterion) = form.criteria.iter().find(|criterion| criterion.name.as_str() == name) else {
            let known = choices(form.criteria.iter().map(|criterion| &criterion.name));
            let detail = format!("the call has no criterion `{name}`: it has {known}, {OVERALL} and {RECOMMENDATION}");
            faults.push(FormFault { line, detail });
            continue;
        };
        match written.map(|(line, text)| (line, on_scale(criterion, &text))) {
            Some((_, Ok(score))) => drop(body.scores.insert(criterion.name.clone(), score.to_number())),
            Some((line, Err(detail))) => faults.push(FormFault { line, detail }),
            None => {}
        }
        body.comments.insert(criterion.name.clone(), comment);
    }
    body
}

/// A score as people and spreadsheets write it, `4.5` or `4,5`, if it is on the scale.
fn on_scale(criterion: &Criterion, text: &str) -> Result<Points, String> {
    let number: Option<f64> = text.trim().replacen(',', ".", 1).parse().ok();
    let Criterion { name, max, step, .. } = criterion;
    number.and_then(Points::from_number).filter(|points| criterion.admits(*points)).ok_or_else(|| {
        let (max, step) = (plain(*max), plain(*step));
        format!("`{}` is no score for `{name}`: it goes from 0 to {max} in steps of {step}", super::one_line(text))
    })
}

fn points(body: &ReviewBody) -> BTreeMap<Slug, Points> {
    let scores = body.scores.iter();
    scores.filter_map(|(name, score)| Some((name.clone(), Points::from_number(*score)?))).collect()
}
