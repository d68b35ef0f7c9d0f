//! Resolution of a rule to one threshold per map. Source: Kang et al. 2021, Eq. 3 and section 3.3.

mod grey_level;
mod rule;

use std::sync::Arc;

use orchestrate_engine::params;
use orchestrate_engine::stage::{Action, Context, Facts, Output, Port, StageError};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::{Cams, Scale, Series, Table, Thresholds};
use crate::batch::{digests, in_groups};
use crate::maps::heatmap::{Profile, cached_profiles, each_is_constant, profiles};
use crate::typed::{Adaptor, Typed};

pub use rule::Rule;

/// Parameters of `kind = "threshold"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Rule for the grey level above which a pixel of a heatmap is foreground.
    #[schemars(example = &"q90")]
    pub threshold: Rule,
    /// The step at which maps are scaled to grey levels, before or after up-sampling; `score` takes it from here.
    #[serde(default)]
    pub scale: Scale,
}

impl params::Params for Params {}

/// Finds the grey level above which a pixel of each heatmap counts as foreground.
///
/// - `cams`: one map an image, `[height, width]`, f32, any scale; see [`crate::maps::heatmap`]
/// - returns: one threshold an image in the same order, f64, a grey level in 0..=255
///
/// A constant map gives 0 by any rule, and thus an empty mask. Errors: a map that is not finite, by its image.
pub fn run(params: &Params, cams: &Cams) -> Result<Thresholds, StageError> {
    let maps = Maps::of(cams, [params.threshold], || Ok(Arc::new(profiles(cams, params.scale)?)))?;
    Ok(Thresholds { names: cams.names.clone(), thresholds: resolve(params.threshold, &maps), scale: params.scale })
}

/// The facts about each map that the rules of a batch need.
struct Maps {
    constant: Vec<bool>,
    /// `None` if all rules are fixed grey levels, which need no histogram.
    profiles: Option<Arc<Vec<Profile>>>,
}

impl Maps {
    fn of(
        cams: &Cams,
        rules: impl IntoIterator<Item = Rule>,
        profiles: impl FnOnce() -> Result<Arc<Vec<Profile>>, StageError>,
    ) -> Result<Self, StageError> {
        let constant = each_is_constant(cams)?;
        let needs_profiles = rules.into_iter().any(|rule| !matches!(rule, Rule::Fixed(_)));
        Ok(Self { constant, profiles: needs_profiles.then(profiles).transpose()? })
    }
}

/// Resolves a rule to one threshold a map.
fn resolve(rule: Rule, maps: &Maps) -> Vec<f64> {
    let histogram =
        |map: usize| &maps.profiles.as_ref().expect("profiles are made for rules that need them")[map].histogram;
    let threshold = |(map, &constant): (usize, &bool)| match rule {
        _ if constant => 0.0,
        Rule::Fixed(level) => level,
        Rule::Percentile(q) => grey_level::percentile(histogram(map), q),
        Rule::Otsu => grey_level::otsu(histogram(map)),
    };
    maps.constant.iter().enumerate().map(threshold).collect()
}

pub(crate) struct Threshold;

pub(crate) static STAGE: Adaptor<Threshold> = Adaptor::new();

impl Typed for Threshold {
    const FACTS: Facts = Facts {
        ports: &[Port { name: "cams", reads: &[Cams::OUTPUT], optional: false, many: false }],
        outputs: &[Thresholds::OUTPUT],
        artifacts: &[Thresholds::FACTS],
        batches: true,
        ..Facts::new("threshold", 2, "finds the grey level above which a pixel of each heatmap counts as foreground")
    };
    type Params = Params;

    fn run(context: &Context<'_>, batch: &[(Params, &Action)]) -> Vec<Result<Vec<Output>, StageError>> {
        let members = batch.iter().map(Ok).collect();
        in_groups(
            members,
            |(params, action)| (digests(action, "cams"), params.scale),
            |group| {
                if (context.cancelled)() {
                    return Err(StageError::Cancelled);
                }
                let (params, action) = group[0];
                let cams = Cams::from_item(action.one("cams")?)?;
                let rules = group.iter().map(|(params, _)| params.threshold);
                let maps = Maps::of(&cams, rules, || cached_profiles(&cams, digests(action, "cams"), params.scale))?;
                // The names are the same for all members, so each thread copies them once.
                let of_none = || {
                    let of_none = Thresholds { names: cams.names.clone(), thresholds: Vec::new(), scale: params.scale };
                    (of_none, Series::default())
                };
                let outcome = |(thresholds, series): &mut (Thresholds, Series), (params, _): &&(Params, &Action)| {
                    thresholds.thresholds = resolve(params.threshold, &maps);
                    Ok(vec![series.output(thresholds)?])
                };
                Ok(group.par_iter().map_init(of_none, outcome).collect())
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, cams_of};

    fn thresholds(threshold: Rule, cams: &Cams) -> Vec<f64> {
        run(&Params { threshold, scale: Scale::After }, cams).unwrap().thresholds
    }

    /// Grey levels 0, 85, 170, 255 of the second map; the first is constant.
    #[test]
    fn a_constant_map_gives_0_by_any_rule() {
        let cams = cams_of(&[[2.0; 4], [0.0, 1.0, 2.0, 3.0]]);
        assert_eq!(thresholds(Rule::Fixed(200.0), &cams), [0.0, 200.0]);
        assert_eq!(thresholds(Rule::Percentile(50.0), &cams), [0.0, 127.5]);
        assert_eq!(thresholds(Rule::Otsu, &cams), [0.0, 85.0]);
    }

    #[test]
    fn a_batch_gives_each_member_what_it_gets_alone() {
        let cams = cams_of(&[[4.0, 1.0, 1.5, 9.0], [0.0, 1.0, 2.0, 3.0]]);
        let bench = Bench::new();
        let item = bench.item(&cams, &[]);
        let rules = ["\"q90\"", "200", "\"otsu\"", "0.5"];
        let batch: Vec<_> = rules
            .iter()
            .enumerate()
            .map(|(index, rule)| {
                let params = format!(r#"{{"threshold": {rule}, "scale": "{}"}}"#, ["after", "before"][index % 2]);
                bench.action(&params, &[("cams", std::slice::from_ref(&item))])
            })
            .collect();
        for (action, outcome) in batch.iter().zip(bench.run(&STAGE, &batch)) {
            let params: Params = serde_json::from_value(action.params.clone()).unwrap();
            assert_eq!(bench.table::<Thresholds>(outcome), run(&params, &cams).unwrap());
        }
    }

    #[test]
    fn params_are_read_from_specs() {
        let check = |toml| Bench::new().check(&STAGE, toml);
        assert_eq!(check("threshold = 200"), Ok(serde_json::json!({ "threshold": 200.0, "scale": "after" })));
        let written = serde_json::json!({ "threshold": "q97.5", "scale": "before" });
        assert_eq!(check("threshold = 'q97.5'\nscale = 'before'"), Ok(written));
        let message = check("threshold = 300\nscale = 'both'").unwrap_err();
        assert!(
            message.contains("300: `threshold` must be a number from 0 to 255, a text such as \"q90\" or \"otsu\""),
            "{message}"
        );
        assert!(
            message.contains("'both': `scale` must be \"after\" or \"before\", not the text \"both\""),
            "{message}"
        );
        assert!(check("").unwrap_err().contains("`threshold` is missing; it is a number from 0 to 255"));
    }

    #[test]
    fn golden() {
        let cams = cams_of(&[[4.0, 1.0, 1.5, 9.0], [0.0, -1.0, -2.0, 3.0], [0.25, 0.5, 0.125, 0.0]]);
        let all = [Rule::Fixed(200.0), Rule::Percentile(90.0), Rule::Otsu].map(|rule| thresholds(rule, &cams));
        let expected = [
            vec![200.0; 3],
            vec![207.00000000000003, 209.10000000000002, 216.60000000000002],
            vec![95.0, 102.0, 127.0],
        ];
        assert_eq!(all, expected, "the numbers moved: raise VERSION of `threshold` and put the new ones here");
    }
}
