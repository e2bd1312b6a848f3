//! Forms as people fill them, and with what others would put into them to forge a part.

use super::*;
use crate::client::testing;
use proptest::{collection::btree_map, prelude::*};

/// What somebody would write to forge a part of the form, or what an editor leaves behind.
const HOSTILE: [&str; 8] = [
    "Lodestone\n## WATER26-48175\n### merit\nscore: 5",
    "# A\r\n\r\n### (overall)\r\ncomment: fund it",
    "score: 5",
    "draft: none",
    "\u{2028}## WATER26-48175\u{85}score: 0",
    "`x` --> <!-- # -->",
    "\u{202e}drawkcab",
    "=HYPERLINK(\"http://example.org\")",
];

fn form(title: Option<&str>, body: ReviewBody) -> ReviewForm {
    let (call, proposal) = (testing::call(), testing::proposal());
    let (id, reference) = (proposal.id, proposal.reference);
    ReviewForm {
        code: call.rules.code.clone(),
        title: call.rules.title.clone(),
        criteria: call.rules.criteria.clone(),
        total_threshold: Some(Points::from_hundredths(600)),
        reviews_due_at: call.call.reviews_due_at.0,
        proposals: vec![FormProposal {
            id,
            reference,
            title: title.map(str::to_owned),
            mark: "none".into(),
            body: normal(body),
        }],
        handed_in: Vec::new(),
        undeclared: Vec::new(),
    }
}

fn read_back(form: &ReviewForm, text: &str) -> Result<FilledForm, Vec<FormFault>> {
    let (sections, faults) = markdown::read(text);
    form.filled_by(sections, faults)
}

fn faults(text: &str) -> Vec<String> {
    let faults = read_back(&form(None, ReviewBody::default()), text).unwrap_err();
    faults.into_iter().map(|FormFault { line, detail }| format!("{line}: {detail}")).collect()
}

#[test]
fn title_of_others_never_becomes_a_part_of_the_form() {
    for title in HOSTILE {
        let form = form(Some(title), ReviewBody::default());
        let text = markdown::written(&form);
        let filled = read_back(&form, &text).unwrap();
        assert_eq!(filled.reviews.len(), 1, "{title:?}");
        assert!(is_empty(&filled.reviews[0].body), "{title:?}: {filled:?}");
        assert!(!text.contains('\u{202e}'), "{title:?}");
    }
}

#[test]
fn filled_form_is_read_as_people_write_it() {
    let text = "\u{feff}# Reviews\r\n\r\n## water26-48175\r\n> Lodestone\r\ndraft: 0123456789abcdef\r\n### Merit\r\n> x\r\n\
                SCORE: 4,5\r\nComment: clear\r\n\r\nscore: none of this is one\r\n\\# nor a heading\r\n#hashtag\r\n\r\n\
                ### (overall)\r\ncomment:\r\n\r\nFund it.\r\n";
    let form = form(None, ReviewBody::default());
    let filled = read_back(&form, &crate::reading::text(text.as_bytes()).unwrap()).unwrap();
    let review = &filled.reviews[0];
    assert_eq!(review.mark, "0123456789abcdef");
    assert_eq!(review.body.scores, [("merit".parse().unwrap(), 4.5)].into());
    let comment = &review.body.comments[&"merit".parse().unwrap()];
    assert_eq!(comment, "clear\n\nscore: none of this is one\n# nor a heading\n#hashtag");
    assert_eq!(review.body.overall, "Fund it.");
    assert_eq!((review.total.scored, review.total.total), (1, Points::from_hundredths(600)));
}

#[test]
fn every_fault_is_found_at_once_and_with_its_line() {
    let text = "lost\n## WATER26-48175\n### merit\nscore: 4.2\nscore: 4\nmine\ncomment:\nfine\n# Mine\nlost with it\n### impact\n\
                score: six\n### style\nscore: 1\n### merit\ncomment:\n## WATER26-48157\n## WATER26-48175\n";
    let found = faults(text);
    let begins = |line: &str| found.iter().any(|fault| fault.starts_with(line));
    for fault in [
        "1: it belongs to no proposal",
        "4: `4.2` is no score for `merit`: it goes from 0 to 5 in steps of 0.5",
        "5: a criterion has one score",
        "6: wanted `score:` or `comment:`",
        "9: it begins like a heading",
        "12: `six` is no score for `impact`",
        "13: the call has no criterion `style`: it has merit, impact, (overall) and (recommendation)",
        "15: `merit` is a duplicate",
        "17: `WATER26-48157` is mistyped",
        "18: `WATER26-48175` is in line 2 already",
    ] {
        assert!(begins(fault), "{fault}: {found:#?}");
    }
    assert_eq!(found.len(), 10, "{found:#?}");
    assert!(faults("").iter().any(|fault| fault.contains("no proposal in it")));
}

#[test]
fn proposal_of_somebody_else_is_no_part_of_the_form() {
    let mut form = form(None, ReviewBody::default());
    form.undeclared = std::mem::take(&mut form.proposals).into_iter().map(|proposal| proposal.reference).collect();
    let found = read_back(&form, "## WATER26-48175\n").unwrap_err();
    assert!(found[0].detail.contains("waits for your declaration"), "{found:?}");
    form.handed_in = std::mem::take(&mut form.undeclared);
    assert_eq!(read_back(&form, "## WATER26-48175\n").unwrap().handed_in, form.handed_in);
    form.handed_in.clear();
    let found = read_back(&form, "## WATER26-48175\n").unwrap_err();
    assert!(found[0].detail.contains("not among the proposals that you have to review"), "{found:?}");
}

#[test]
fn scale_is_said_as_people_write_numbers() {
    let criteria = testing::call().rules.criteria;
    let said: Vec<String> = criteria.iter().map(ReviewForm::criterion_in_words).collect();
    assert_eq!(said, ["Merit: 0 to 5 in steps of 0.5; at least 3 to pass; weight 2", "Impact: 0 to 5 in steps of 0.5"]);
    assert_eq!(
        ["100.00", "0.05", "10.50"].map(|text| plain(Points::from_number(text.parse().unwrap()).unwrap())),
        ["100", "0.05", "10.5"]
    );
}

proptest! {
    #[test]
    fn what_a_reviewer_wrote_comes_back_from_the_form(
        score in proptest::option::of(0_u8..=10),
        comments in btree_map(prop_oneof![Just("merit"), Just("impact")], "[#\\\\> a\\n\\r:=\u{5d0}]{0,24}|score: 1\ncomment: x", 0..3),
        overall in "[#\\\\> a\\n\\r\\t]{0,16}",
        recommendation in proptest::option::of("[#a>\\n ]{0,6}"),
        title in proptest::option::of("[#>\\n\\ra \u{2028}]{0,12}"),
    ) {
        let body = ReviewBody {
            scores: score.map(|half| ("merit".parse().unwrap(), f64::from(half) / 2.0)).into_iter().collect(),
            comments: comments.into_iter().map(|(name, text)| (name.parse().unwrap(), text)).collect(),
            overall,
            recommendation,
        };
        let form = form(title.as_deref(), body);
        let filled = read_back(&form, &markdown::written(&form));
        let filled = filled.map_err(|faults| TestCaseError::fail(format!("{faults:?}")))?;
        prop_assert_eq!(&filled.reviews[0].body, &form.proposals[0].body);
        prop_assert_eq!(&filled.reviews[0].mark, &form.proposals[0].mark);
    }
}
