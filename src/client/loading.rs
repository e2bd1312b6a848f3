//! Assignments from a file, merged with what is there: what is assigned already is skipped, and the rest is done as a whole or not at all.
//!
//! Every line is tried out first, by the exchange's own dry run. More lines than one request takes go in several, each all or none by
//! itself; the same file given again goes on where they ended.

use super::{Client, ClientError, Result, naming::FoundProposal};
use crate::{
    domain::id::{CallId, MemberId, ProposalId},
    wire::{policy::PreviewedChange, problem::LineFault},
};
use std::collections::HashMap;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentLine {
    /// As an editor counts.
    pub line: u64,
    pub proposal: FoundProposal,
    pub reviewer: MemberId,
}

/// What a file comes to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoadPlan {
    /// The lines that can be done.
    pub new: Vec<AssignmentLine>,
    /// Those that are done already.
    pub present: Vec<AssignmentLine>,
    /// Those that cannot be done, each with why.
    pub faults: Vec<(AssignmentLine, LineFault)>,
    /// What the new ones would change.
    pub changes: Vec<PreviewedChange>,
}

/// The slug of what is assigned already.
const PRESENT: &str = "already-assigned";

impl AssignmentLine {
    fn pair(&self) -> (ProposalId, MemberId) {
        (self.proposal.id, self.reviewer.clone())
    }
}

impl Client {
    /// Tries out every line.
    ///
    /// # Errors
    /// When a line says what another one does.
    pub async fn plan_load(&self, call: CallId, lines: Vec<AssignmentLine>) -> Result<LoadPlan> {
        check_repeated(&lines)?;
        let pairs: Vec<_> = lines.iter().map(AssignmentLine::pair).collect();
        let answer = self.assign_in_parts(call, &pairs, true).await?;
        Ok(planned(lines, answer.faults, answer.changes))
    }

    /// Makes the new assignments of a plan; how many they are.
    ///
    /// # Errors
    /// When others acted since the plan was made. The request that met it has done nothing, and those before it are done.
    pub async fn load(&self, call: CallId, plan: &LoadPlan) -> Result<u32> {
        let pairs: Vec<_> = plan.new.iter().map(AssignmentLine::pair).collect();
        match self.assign_in_parts(call, &pairs, false).await {
            Ok(done) => Ok(done.accepted),
            Err(ClientError::Problem { mut problem, request_id }) => {
                for fault in &mut problem.faults {
                    fault.line = line_of(&plan.new, fault.line);
                }
                Err(ClientError::Problem { problem, request_id })
            }
            Err(error) => Err(error),
        }
    }
}

/// The line of a file that was the `number`th of those that were sent.
fn line_of(lines: &[AssignmentLine], number: u32) -> u32 {
    let line = usize::try_from(number).ok().and_then(|number| lines.get(number.checked_sub(1)?));
    line.map_or(number, |line| u32::try_from(line.line).unwrap_or(u32::MAX))
}

fn planned(lines: Vec<AssignmentLine>, faults: Vec<LineFault>, changes: Vec<PreviewedChange>) -> LoadPlan {
    let mut faults: HashMap<u32, LineFault> = faults.into_iter().map(|fault| (fault.line, fault)).collect();
    let mut plan = LoadPlan { changes, ..LoadPlan::default() };
    for (number, line) in (1..).zip(lines) {
        match faults.remove(&number) {
            None => plan.new.push(line),
            Some(fault) if fault.problem == PRESENT => plan.present.push(line),
            Some(fault) => {
                let place = u32::try_from(line.line).unwrap_or(u32::MAX);
                plan.faults.push((line, LineFault { line: place, ..fault }));
            }
        }
    }
    plan
}

/// Refuses a duplicate line: of two requests the exchange would not know that they are for one.
fn check_repeated(lines: &[AssignmentLine]) -> Result<()> {
    let mut known = HashMap::new();
    for line in lines {
        if let Some(first) = known.insert(line.pair(), line.line) {
            let what = format!("line {} assigns what line {first} does", line.line);
            return Err(ClientError::usage(what, "leave one of them out"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::proposal;

    fn line(line: u64, reviewer: &str) -> AssignmentLine {
        AssignmentLine { line, proposal: FoundProposal::from(&proposal()), reviewer: reviewer.parse().unwrap() }
    }

    fn fault(line: u32, problem: &str) -> LineFault {
        LineFault { line, problem: problem.into(), detail: "because".into() }
    }

    #[test]
    fn what_is_there_is_skipped_and_faults_have_the_lines_of_the_file() {
        let lines = vec![line(2, "GBR:ann"), line(4, "KOR:kim"), line(5, "ISR:noa")];
        let plan = planned(lines, vec![fault(1, PRESENT), fault(3, "denied")], Vec::new());
        assert_eq!((plan.present, plan.new), (vec![line(2, "GBR:ann")], vec![line(4, "KOR:kim")]));
        assert_eq!(plan.faults, [(line(5, "ISR:noa"), fault(5, "denied"))]);
    }

    #[test]
    fn refused_line_of_what_was_sent_is_the_one_of_the_file() {
        let sent = [line(3, "GBR:ann"), line(7, "KOR:kim")];
        assert_eq!((line_of(&sent, 1), line_of(&sent, 2), line_of(&sent, 3)), (3, 7, 3));
    }

    #[test]
    fn duplicate_line_is_refused_before_anything_is_sent() {
        let refused = check_repeated(&[line(2, "GBR:ann"), line(9, "GBR:ann")]).unwrap_err();
        assert_eq!(refused.to_string(), "line 9 assigns what line 2 does");
        assert!(check_repeated(&[line(2, "GBR:ann"), line(9, "KOR:kim")]).is_ok());
    }
}
