//! The text of a first spec, with comments that say why.

use std::fmt::Write;

use super::choice::Choice;
use crate::terminal;

/// Writes the spec of a study.
pub(super) fn spec(study: &str, choice: &Choice) -> String {
    let mut spec = Text(String::new());
    spec.comment(&format!(
        "{study}: a first study, made by `orchestrate new`. Change what you like: `orchestrate plan` says at once what \
         is wrong, and a run repeats only what a change concerns."
    ));
    spec.comment("It is made to run in minutes on a CPU. Lines with `later:` say what else it could have.");
    spec.line(&format!(
        "\n[experiment]\nname = {}   # results lie in results, in a folder of this name\nseed = 7",
        text(study)
    ));
    let (folds, folds_why) = &choice.folds;
    spec.line("\n[axes]");
    spec.setting(
        "model = [\"tiny\"]",
        "later: model = [\"resnet18\", \"vgg16\", \"modified-vgg16\"]; at size 224, on a GPU",
    );
    spec.setting(&format!("fold = {{ folds = {folds} }}"), &folds_why.clone());
    if choice.lesions > 0 {
        spec.setting(
            "threshold = [200, 225, \"q90\", \"q95\", \"otsu\"]",
            "grey levels or quantiles of maps, above which a pixel counts",
        );
    }
    images(&mut spec, choice);
    split(&mut spec, choice);
    trainings(&mut spec, choice);
    if choice.lesions > 0 {
        spec.line(SCORES);
    } else {
        spec.line("");
        spec.comment(
            "The data have no masks, so nothing says whether the maps find the lesion. With masks (x_mask.png beside \
             x.png, or a column `mask`), stages `threshold` and `score` and tables of IoU would; see a study without \
             `--data` for them.",
        );
    }
    spec.line(CLASSIFICATION);
    if choice.lesions > 0 {
        spec.line(IOU);
    }
    spec.line("\n# One page about all of it; `orchestrate report` adds times and the origin of each number.");
    spec.line("[stages.report]\nkind = \"report\"");
    spec.line(&format!(
        "title = {}\npublish = \"results/{{experiment}}/report\"\n\n[stages.report.inputs]",
        text(study)
    ));
    if choice.lesions > 0 {
        spec.line(
            "tables = [\"classification\", \"iou\", \"iou-by-class\"]\nscores = \"score\"\nthresholds = \"threshold\"",
        );
        spec.line("masks = \"images\"\ncams = \"cam\"");
    } else {
        spec.line("tables = [\"classification\"]");
    }
    spec.line(
        "images = \"images\"\nlabels = \"images\"\naudits = \"images\"\nsplits = \"split\"\nconfusions = \"classify\"",
    );
    spec.line("curves = \"train\"");
    spec.0
}

fn images(spec: &mut Text, choice: &Choice) {
    spec.line("");
    spec.comment(&format!("{}.", choice.images));
    spec.line("[stages.images]\nkind = \"dataset\"");
    let (size, why) = &choice.size;
    let Some(guess) = &choice.guess else {
        spec.line(&format!("format = \"phantom\"\ncount = 300\nsize = {size}"));
        spec.comment("later: your own images; `orchestrate new --data DIR NAME` writes a spec for them");
        return;
    };
    spec.line(&format!("format = {}", text(guess.format.name())));
    spec.setting(&format!("path = {}", text(&guess.path.to_string_lossy())), "relative to this file, unless absolute");
    for (param, name) in &guess.named {
        let why = match (*param, &choice.patient_example) {
            ("patient", Some((image, patient))) => {
                format!("a guess: {image} is of patient {patient}. Is that so? If not, remove `group` below, too")
            }
            ("patient", None) => "a guess: the names of the patients".to_owned(),
            ("mask", _) => "a guess: the masks".to_owned(),
            _ => "a guess".to_owned(),
        };
        spec.setting(&format!("{param} = {}", text(name)), &why);
    }
    spec.setting(&format!("size = {size}"), why);
    spec.comment("later: size = 224; the size of the paper and of pretrained networks");
    spec.line("resize = { images = \"bilinear\", masks = \"nearest\" }");
    if choice.in_colour {
        spec.comment("colours become grey: 0.299 red + 0.587 green + 0.114 blue");
    }
    if choice.has_pseudonyms {
        spec.comment("later: pseudonym_key = \"secret\"; with it nobody can guess the pseudonyms of patients");
    }
    spec.comment("later: limit = 200; it keeps some images of each class, for a quick try");
}

fn split(spec: &mut Text, choice: &Choice) {
    spec.line("");
    match (choice.by_patient, &choice.guess) {
        (true, _) => spec.comment(
            "All images of a patient are in one fold, so no network is tested on a patient that it was trained on.",
        ),
        (false, None) => spec.comment("Drawn slices have no patients. With patients, add group = \"patient\"."),
        (false, Some(_)) => choice.doubts.iter().for_each(|doubt| spec.comment(&format!("WARNING: {doubt}."))),
    }
    spec.line("[stages.split]\nkind = \"split\"\ninputs = { labels = \"images\" }");
    match (choice.by_patient, &choice.guess) {
        (true, _) => spec.line("group = \"patient\""),
        (false, Some(_)) => spec.line("# group = \"patient\""),
        (false, None) => {}
    }
}

fn trainings(spec: &mut Text, choice: &Choice) {
    spec.line("\n[stages.train]\nkind = \"train\"\nover = [\"model\", \"fold\"]");
    spec.line("inputs = { images = \"images\", split = \"split\" }");
    spec.setting(&format!("epochs = {}", choice.epochs), "later: epochs = 50; look at the curves in the report");
    if let Some((largest, smallest)) = &choice.uneven {
        spec.comment(&format!(
            "later: class_weights = \"balanced\"; it gives {smallest} the weight of {largest}, which has more than \
             twice the images"
        ));
    }
    spec.comment("later: augment = { flip = \"horizontal\", shift = 4 }; if mirrored images are as likely");
    spec.comment("later: schedule = \"cosine\"; `orchestrate kinds train` lists all params");
    spec.line("\n# Maps of the regions that decided, of the images of each fold by the network that did not see them.");
    spec.line("# The axes of its inputs, model and fold, need not be listed.");
    spec.line("[stages.cam]\nkind = \"cam\"\ninputs = { images = \"images\", split = \"split\", weights = \"train\" }");
}

/// Stages that compare maps with masks.
const SCORES: &str = r#"
# Each map cut at each threshold, and compared with the mask of its image.
[stages.threshold]
kind = "threshold"
over = ["threshold"]
inputs = { cams = "cam" }

[stages.score]
kind = "score"
inputs = { cams = "cam", thresholds = "threshold", masks = "images" }
publish = "results/{experiment}/scores"   # a folder for each point, and one table of all, for pandas"#;

/// The table of the classifiers.
const CLASSIFICATION: &str = r#"
# Accuracy, precision, recall and F1 of each classifier, mean and standard deviation over folds.
[stages.classify]
kind = "classify"
over = ["model"]
inputs = { predictions = "cam" }

[stages.classification]
kind = "table"
title = "Classification"
inputs = { scores = "classify" }
rows = ["model"]
columns = ["metric"]
value = "value"
publish = "results/{experiment}/classification""#;

/// The tables of the maps.
const IOU: &str = r#"
# The overlap of maps and masks (IoU), of the images that were classified correctly: by threshold, and by class.
[stages.iou]
kind = "table"
title = "Mean IoU by threshold"
inputs = { scores = "score" }
rows = ["model"]
columns = ["threshold"]
value = "iou"
publish = "results/{experiment}/iou"

[stages.iou-by-class]
kind = "table"
title = "Mean IoU by class"
inputs = { scores = "score" }
rows = ["model", "threshold"]
columns = ["label"]
value = "iou"
publish = "results/{experiment}/iou-by-class""#;

/// The longest line of a comment.
const WIDTH: usize = 110;

/// A spec that grows by lines.
struct Text(String);

impl Text {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.0, "{text}");
    }

    /// Adds a comment in as many lines as it needs.
    fn comment(&mut self, text: &str) {
        let mut line = "#".to_owned();
        for word in terminal::visible_line(text).split(' ') {
            if line.chars().count() + word.chars().count() > WIDTH {
                self.line(&line);
                "#".clone_into(&mut line);
            }
            line = line + " " + word;
        }
        self.line(&line);
    }

    /// Adds a param and its reason, beside it if there is room.
    fn setting(&mut self, param: &str, why: &str) {
        let why = terminal::visible_line(why);
        if param.chars().count() + why.chars().count() + 5 > WIDTH {
            self.comment(&why);
            return self.line(param);
        }
        self.line(&format!("{param}   # {why}"));
    }
}

/// Writes a text as TOML does. That is as in JSON, but for one control character.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use orchestrate_engine::{plan, spec};
    use orchestrate_stages::data::dataset::{Format, Guess};

    use super::*;

    /// Returns the spec with each `later:` in place of the setting of its name, and the number of them.
    fn as_proposed(text: &str) -> (String, usize) {
        let mut lines: Vec<String> = Vec::new();
        let mut proposals = 0;
        for line in text.lines() {
            let Some((before, later)) = line.split_once("# later: ").filter(|(_, later)| later.contains(" = ")) else {
                lines.push(line.to_owned());
                continue;
            };
            let (setting, _) = later.split_once(';').unwrap_or_else(|| panic!("{line}: a reason follows"));
            let name = setting.split_once(" = ").map_or("", |(name, _)| name);
            // A setting with its proposal beside it, above it, or none.
            let is_set = |line: &&mut String| line.starts_with(&format!("{name} = "));
            match lines.iter_mut().rev().take_while(|line| !line.starts_with('[')).find(is_set) {
                Some(set) => setting.clone_into(set),
                None => lines.push(setting.to_owned()),
            }
            assert!(before.is_empty() || before.starts_with(&format!("{name} = ")), "{line}");
            proposals += 1;
        }
        (lines.join("\n"), proposals)
    }

    #[test]
    fn every_proposal_for_later_is_valid() {
        let folder = tempfile::tempdir().expect("tests have a temporary folder");
        for name in ["a/1.png", "a/2.png", "b/1.png", "b/2.png"] {
            let path = folder.path().join("data").join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).expect("tests can make folders");
            image::GrayImage::new(32, 32).save(path).expect("tests can write files");
        }
        let guess = Guess { format: Format::Folders, path: "data".into(), named: Vec::new(), unused: Vec::new() };
        let of_data = Choice {
            guess: Some(guess),
            has_pseudonyms: true,
            uneven: Some(("a".to_owned(), "b".to_owned())),
            folds: (2, "a test".to_owned()),
            ..Choice::phantom()
        };
        for (choice, expected) in [(Choice::phantom(), 4), (of_data, 8)] {
            let (text, proposals) = as_proposed(&spec("study", &choice));
            assert_eq!(proposals, expected, "{text}");
            let path = folder.path().join("study.toml");
            std::fs::write(&path, &text).expect("tests can write files");
            let spec = spec::load(&path, &[]).unwrap_or_else(|error| panic!("{text}\n{error:?}"));
            plan::build(spec, crate::stages()).unwrap_or_else(|error| panic!("{text}\n{error:?}"));
        }
    }
}
