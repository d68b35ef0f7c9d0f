//! Full disks: the disk is full from each change that needs space on, in turn. The run reports it and leaves a store in
//! which the next run finishes.

use crate::judge::{self, Verdict};
use crate::kill::Situation;
use crate::project::Project;
use crate::result::Results;

/// Fills the disk at every `stride`th change of every situation.
pub(crate) fn full(stride: u64, tell: impl Fn(&str)) -> Verdict {
    let expected = Project::new().expect();
    let mut all = Verdict::default();
    for situation in Situation::all() {
        let mut verdict = Verdict::default();
        for step in (0..situation.steps(&situation.trace())).step_by(stride.max(1) as usize) {
            let project = situation.prepare();
            let said = project.call(situation.command, &[(situation.variable, format!("full={step}"))]);
            let promised: Results = said.results().into_iter().map(|ended| (ended.key, ended.outputs)).collect();
            let mut one = judge::finish(&project, &promised, &expected);
            one.kills = 1;
            // A run succeeds even if a log, a checkpoint or a time of use cannot be written.
            let clear = said.status.success() || (said.out + &said.err).contains("no storage space");
            if !clear || said.status.code().is_none_or(|code| code > 1) {
                one.faults.push(format!("it ends with {} and says {}", said.status, said.err));
            }
            one.faults.iter().for_each(|fault| tell(&format!("{} full at change {step}: {fault}", situation.name)));
            verdict.add(one);
        }
        tell(&format!("{:32} {verdict}", situation.name));
        all.add(verdict);
    }
    all
}
