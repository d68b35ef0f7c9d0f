//! Names in `[cluster]` that a plan lacks.

use super::Cluster;
use crate::nearest;
use crate::plan::Plan;
use crate::stage::Stage;

impl Cluster {
    /// Returns warnings about kinds that nobody has and about stages that the spec lacks.
    ///
    /// A stage with a name like none of the spec is one of another spec, as one file serves all specs of a project.
    pub fn check(&self, plan: &Plan, kinds: &[&dyn Stage]) -> Vec<String> {
        let known: Vec<_> = kinds.iter().map(|kind| kind.facts().kind).collect();
        let unknown = self.kinds.iter().flatten().filter(|kind| !known.contains(&kind.as_str()));
        let mut warnings: Vec<_> = unknown
            .map(|kind| {
                let near = did_you_mean(nearest(kind, known.iter().copied()));
                format!("`kinds` of [cluster] has `{kind}`, but there is no such kind of stage{near}")
            })
            .collect();
        let declared = || plan.spec.stages.iter().map(|stage| stage.name.get_ref().as_str());
        for stage in self.stages.keys().filter(|stage| !declared().any(|name| name == *stage)) {
            let near = nearest(stage, declared().filter(|name| !self.stages.contains_key(*name)));
            if near.is_some() {
                warnings.push(format!("[cluster.stages.{stage}] is for no stage of this spec{}", did_you_mean(near)));
            }
        }
        warnings
    }
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use crate::fake::{STUDY, plan};
    use crate::spec::limits::PROJECT_FILE;

    #[test]
    fn names_that_nobody_has_are_warnings() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let text = "[cluster]\nkind = \"slurm\"\nkinds = [\"trian\"]\n\
                    [cluster.stages.train]\n[cluster.stages.tabel]\n[cluster.stages.other-study]\n";
        std::fs::write(dir.path().join(PROJECT_FILE), text).expect("the folder is writable");
        let cluster = crate::spec::cluster(dir.path()).expect("it is right").expect("it is there");
        let plan = plan(STUDY, &[]).expect("it is valid");
        let kinds: Vec<_> = plan.stages.iter().map(|stage| stage.kind).collect();
        insta::assert_snapshot!(cluster.check(&plan, &kinds).join("\n"), @"
        `kinds` of [cluster] has `trian`, but there is no such kind of stage; did you mean `train`?
        [cluster.stages.tabel] is for no stage of this spec; did you mean `table`?
        ");
    }
}
