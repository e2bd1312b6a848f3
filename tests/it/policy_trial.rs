//! `entente policy test`, `example` and `world` as a policy officer runs them: the program itself, on files, with no exchange.

use crate::harness::scratch::scratch;
use serde_json::Value;
use std::{fs, path::Path, process::Command};
use tempfile::TempDir;

/// A folder with files, and what the program said in it.
struct Desk(TempDir);

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new(files: &[(&str, &str)]) -> Self {
        let desk = Self(scratch());
        for (name, text) in files {
            desk.write(name, text);
        }
        desk
    }

    /// With the text and the cases of some recipes, printed by the program.
    fn with_recipes(recipes: &str) -> Self {
        let desk = Self::new(&[]);
        desk.write("ISR.cedar", &desk.run(&format!("policy example {recipes}")).done());
        desk.write("cases.json", &desk.run(&format!("policy example {recipes} --cases")).done());
        desk
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    fn run(&self, line: &str) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_entente"))
            .args(line.split(' '))
            .current_dir(self.0.path())
            .env("XDG_CONFIG_HOME", self.0.path())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    fn done(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    fn refused(self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "wanted `{word}`: {}", self.err);
        }
    }
}

#[test]
fn printed_recipes_pass_their_printed_cases() {
    let desk = Desk::with_recipes("topic assigned-reviewers");
    assert!(desk.run("policy check ISR.cedar").done().contains("can be proposed"));
    let said = desk.run("policy test ISR.cedar --cases cases.json").done();
    assert!(said.contains("6 cases pass") && said.contains("not asked, for want of policies: GBR, KOR, USA"), "{said}");
    let list = desk.run("policy example --list").done();
    assert!(list.contains("five-eyes") && list.contains("Embargo until a date"), "{list}");
}

#[test]
fn failing_case_is_told_in_one_line_with_what_decided_and_why() {
    let desk = Desk::with_recipes("named-nations");
    desk.write("ISR.cedar", &desk.read("ISR.cedar").replace("Partner::\"GBR\"]", "Partner::\"KOR\"]"));
    let said = desk.run("policy test ISR.cedar --cases cases.json");
    assert_eq!(said.code, 1, "{}", said.out);
    let lines: Vec<&str> = said.out.lines().filter(|line| line.starts_with("FAIL")).collect();
    let [line] = lines[..] else { panic!("one line: {}", said.out) };
    for word in [
        "cases.json: korean_reviewer_sees_nothing: should be hidden, is permitted: Read: ",
        "release of ISR: officers, reviewers and deciders have the proposal (ISR/panel)",
        "`ISR/named-nations` does not decide, but ",
    ] {
        assert!(line.contains(word), "wanted `{word}`: {line}");
    }
    assert!(said.err.contains("1 of 2 cases did not come out as expected"), "{}", said.err);
}

#[test]
fn programs_read_the_same_as_json() {
    let desk = Desk::with_recipes("named-nations");
    let cases = desk.read("cases.json").replace("\"outcome\": \"hidden\"", "\"outcome\": \"denied\"");
    desk.write("cases.json", &cases);
    let said = desk.run("--json policy test ISR.cedar --cases cases.json");
    assert_eq!(said.code, 1);
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&answer["owner"], &answer["passed"], &answer["failed"]), (&"ISR".into(), &1.into(), &1.into()));
    let failed = answer["items"].as_array().unwrap().iter().find(|item| item["passed"] == false).unwrap();
    assert_eq!((&failed["expected"], &failed["outcome"]), (&"denied".into(), &"hidden".into()));
    assert_eq!(failed["deciding"], serde_json::json!(["ISR/named-nations"]));
    let gaps = answer["unshown"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap.as_str().unwrap().contains("no case is decided by `ISR/owners`")), "{gaps:?}");
    assert_eq!(answer["not_asked"], serde_json::json!(["KOR", "USA"]));
}

#[test]
fn text_that_cannot_be_taken_ends_with_another_code_than_a_failing_case() {
    let desk = Desk::with_recipes("named-nations");
    desk.write("ISR.cedar", &desk.read("ISR.cedar").replace("resource.party_members", "resource.party_member"));
    let line = desk.read("ISR.cedar").lines().position(|line| line.starts_with("@id(\"owners\")")).unwrap() + 1;
    desk.run("policy test ISR.cedar --cases cases.json").refused(
        2,
        &[&format!("ISR.cedar:{line}: policy `owners`: a proposal has no `party_member`"), "resource.party_members"],
    );
    desk.write("USA.cedar", "permit(principal, action, resource);");
    let desk = Desk::with_recipes("starter");
    desk.write("USA.cedar", "permit(principal, action, resource);");
    desk.run("policy test ISR.cedar --cases cases.json --with USA.cedar").refused(2, &["USA.cedar:1: "]);
}

#[test]
fn other_nations_are_asked_when_they_are_given_or_when_everybody_is() {
    let desk = Desk::with_recipes("named-nations");
    let usa = include_str!("../../policies/partners/USA.cedar");
    desk.write("USA.cedar", usa);
    let said = desk.run("policy test ISR.cedar --cases cases.json --with USA.cedar").done();
    assert!(said.contains("not asked, for want of policies: KOR "), "{said}");
    let shut = "@id(\"shut\") @side(\"release\") @reason(\"nothing leaves\") forbid(principal, action, resource);\n";
    desk.write("USA.cedar", &format!("{usa}\n{shut}"));
    let said = desk.run("policy test ISR.cedar --cases cases.json --with USA.cedar");
    assert!(said.code == 1 && said.out.contains("nothing leaves (USA/shut)"), "{}", said.out);
    let said = desk.run("policy test ISR.cedar --cases cases.json --everybody");
    assert!(said.code == 1 && said.out.contains("no policy of USA releases this"), "{}", said.out);
    desk.run("policy test ISR.cedar --cases cases.json --with USA.cedar --with USA.cedar").refused(2, &["USA"]);
}

#[test]
fn guardrails_that_are_given_take_the_place_of_those_of_the_program() {
    let desk = Desk::with_recipes("named-nations");
    let shut = "@id(\"closed\") @reason(\"the exchange is closed\") forbid(principal, action, resource is Proposal);\n";
    desk.write("guardrails.cedar", &format!("{}\n{shut}", include_str!("../../policies/guardrails.cedar")));
    let said = desk.run("policy test ISR.cedar --cases cases.json --guardrails guardrails.cedar");
    assert!(said.code == 1 && said.out.contains("the exchange is closed (guardrails/closed)"), "{}", said.out);
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut with = String::new();
    for code in ["EU", "GBR", "ISR", "KOR", "USA"] {
        with.extend([" --with ", &policies.display().to_string(), "/partners/", code, ".cedar"]);
    }
    let (policies, line) = (policies.display(), "policy test");
    let said =
        desk.run(&format!("{line} {policies}/guardrails.cedar --cases {policies}/cases --everybody{with}")).done();
    assert!(said.contains("cases pass") && !said.contains("gap "), "{said}");
}

#[test]
fn printed_world_takes_the_place_of_the_built_in_one_and_can_be_changed() {
    let desk = Desk::with_recipes("never-organisation");
    let world = desk.run("policy world").done();
    desk.write("world.json", &world);
    desk.run("policy test ISR.cedar --cases cases.json").done();
    desk.write("world.json", &world.replace("Institute of Technology", "Institute of Agriculture"));
    let said = desk.run("policy test ISR.cedar --cases cases.json");
    assert!(said.code == 1 && said.out.contains("reviewer_from_there_sees_nothing: should be hidden"), "{}", said.out);
    desk.write("other.json", &world);
    desk.run("policy test ISR.cedar --cases cases.json --world other.json").done();
    desk.write("world.json", &world.replace("\"submitted\"", "\"submited\""));
    desk.run("policy test ISR.cedar --cases cases.json").refused(2, &["world.json: ", "proposal.status: `submited`"]);
}

#[test]
fn cases_that_are_not_understood_are_refused_with_file_and_name() {
    let desk = Desk::with_recipes("starter");
    let case = |rest: &str| {
        format!(
            "[{{\"name\": \"one\", \"reason\": \"r\", \"principal\": \"ISR:officer\", \"outcome\": \"permitted\", {rest}}}]"
        )
    };
    for (rest, word) in [
        ("\"action\": \"Look\"", "no action `Look`; nations are asked for View, Read, ReadStaff, ViewDeliberation"),
        ("\"action\": \"View\", \"colour\": 1", "there is no `colour` here"),
        ("\"action\": \"View\", \"side\": \"both\"", "`both` is not a side"),
        ("\"action\": \"Assign\", \"side\": \"reader\"", "no nation is asked for `Assign`"),
        ("\"action\": \"ReadStaff\"", "name the party as `owner`"),
        ("\"action\": \"View\", \"proposal\": {\"title\": 1}", "`proposal` has no fact `title`"),
        ("\"action\": \"View\", \"call\": {\"phase\": \"closed\"}", "call.phase: `closed`"),
        ("\"action\": \"View\", \"deciding\": [\"owners\"]", "write owner and `@id`"),
        ("\"action\": \"View\", \"subject\": \"ISR:nobody\"", "no member `ISR:nobody` in the world"),
    ] {
        desk.write("cases.json", &case(rest));
        desk.run("policy test ISR.cedar --cases cases.json").refused(2, &["cases.json: case `one`: ", word]);
    }
    for (text, word) in [("{}", "malformed"), ("[", "malformed"), ("[]", "has 0 cases")] {
        desk.write("cases.json", text);
        desk.run("policy test ISR.cedar --cases cases.json").refused(2, &["cases.json: ", word]);
    }
    desk.write("cases.json", &" ".repeat((1 << 20) + 1));
    desk.run("policy test ISR.cedar --cases cases.json").refused(1, &["is longer than"]);
    desk.write("empty/note.txt", "");
    desk.run("policy test ISR.cedar --cases empty").refused(2, &["there are no cases in `empty`"]);
}

#[test]
fn side_alone_is_asked_without_the_others() {
    let desk = Desk::with_recipes("starter");
    let case = |principal: &str, side: &str, parties: &str| {
        format!(
            "[{{\"name\": \"one\", \"reason\": \"r\", \"principal\": \"{principal}\", \"action\": \"Read\", \"side\": \"{side}\", \
             \"call\": {{\"opened\": false}}, \"proposal\": {{\"parties\": {parties}}}, \"outcome\": \"permitted\"}}]"
        )
    };
    // The guardrails refuse before the opening; neither of Israel's sides does.
    for (principal, side) in [("USA:officer", "release"), ("ISR:officer", "reader")] {
        desk.write("cases.json", &case(principal, side, "[\"ISR\", \"USA\"]"));
        desk.run("policy test ISR.cedar --cases cases.json --everybody").done();
    }
    desk.write("cases.json", &case("USA:officer", "reader", "[\"ISR\", \"USA\"]"));
    let said = desk.run("policy test ISR.cedar --cases cases.json");
    assert!(said.code == 1 && said.out.contains("`USA:officer` is not a member of ISR"), "{}", said.out);
    desk.write("cases.json", &case("USA:officer", "release", "[\"KOR\", \"USA\"]"));
    let said = desk.run("policy test ISR.cedar --cases cases.json");
    assert!(said.code == 1 && said.out.contains("ISR is not among the proposal's parties"), "{}", said.out);
}
