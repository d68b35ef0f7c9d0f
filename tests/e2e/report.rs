//! From a study to its page: contents, provenance, and layout in a browser; and exports.

use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

/// Two classifiers and a U-Net on small phantoms, with made-up reference values.
const STUDY: &str = r#"
[experiment]
name = "study"
seed = 7

[axes]
model = ["tiny", "tiny-modified"]
unet = [{ name = "unet-vgg16", encoder = "vgg16" }]
fold = { folds = 2 }
threshold = [200, "q90"]

[stages.images]
kind = "dataset"
format = "phantom"
count = 24
size = 32

[stages.split]
kind = "split"
inputs = { labels = "images" }

[stages.train]
kind = "train"
over = ["model", "fold"]
inputs = { images = "images", split = "split" }
epochs = 2

[stages.cam]
kind = "cam"
over = ["model", "fold"]
inputs = { images = "images", split = "split", weights = "train" }

[stages.threshold]
kind = "threshold"
over = ["model", "fold", "threshold"]
inputs = { cams = "cam" }

[stages.score]
kind = "score"
over = ["model", "fold", "threshold"]
inputs = { cams = "cam", thresholds = "threshold", masks = "images" }
images = "all"

[stages.segment]
kind = "segment"
over = ["unet", "fold"]
inputs = { images = "images", masks = "images", split = "split" }
epochs = 1
batch_size = 6

[stages.predict-masks]
kind = "predict-masks"
over = ["unet", "fold"]
inputs = { images = "images", split = "split", weights = "segment" }

[stages.unet-score]
kind = "score"
over = ["unet", "fold"]
inputs = { predicted = "predict-masks", masks = "images" }

[stages.classify]
kind = "classify"
over = ["model"]
inputs = { predictions = "cam" }

[stages.iou]
kind = "table"
title = "mIoU by class at 200 <of 255>"
inputs = { scores = ["score", "unet-score"] }
rows = [["model", "unet"]]
columns = ["label"]
only = { threshold = 200 }
reference = "published.csv"

[stages.wide]
kind = "table"
title = "mIoU by threshold and class"
inputs = { scores = "score" }
rows = ["model"]
columns = ["threshold", "label"]
reference = "published.csv"

[stages.report]
kind = "report"
title = "A study & its page"

[stages.report.inputs]
tables = ["iou", "wide"]
scores = ["score", "unet-score"]
cams = "cam"
thresholds = "threshold"
predicted = "predict-masks"
images = "images"
masks = "images"
labels = "images"
audits = "images"
splits = "split"
confusions = "classify"
curves = ["train", "segment"]
"#;

const PUBLISHED: &str = "# invented for this test\nmodel,label,mean,sd,precision\ntiny,all,0.999,0.001,0.005\n";

/// The study, which runs once for all tests.
fn study() -> &'static Sandbox {
    static STUDY_RUN: OnceLock<Sandbox> = OnceLock::new();
    STUDY_RUN.get_or_init(|| {
        let sandbox = Sandbox::with_spec(STUDY);
        sandbox.write("published.csv", PUBLISHED);
        sandbox.run_well(&[]);
        sandbox
    })
}

/// The page from `orchestrate report`.
fn page(folder: &str) -> String {
    let said = study().orchestrate(&["report", "spec.toml", "--to", folder]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    study().read(&format!("{folder}/report.html"))
}

#[test]
fn report_names_nodes_keys_and_times_and_runs_nothing() {
    let page = page("named");
    for part in
        ["A study &amp; its page", "mIoU by class at 200 &lt;of 255&gt;", "Synthetic phantom data", "Time by stage"]
    {
        assert!(page.contains(part), "{part}");
    }
    for node in [
        "train[model=tiny,fold=2]",
        "score[model=tiny-modified,fold=1,threshold=q90]",
        "unet-score[unet=unet-vgg16,fold=1]",
    ] {
        assert!(page.contains(&format!("data-node=\"{node}\"")), "{node}");
    }
    assert!(!page.contains("orchestrate:provenance") && !page.contains("http:") && !page.contains("https:"));
    // A U-Net predicts masks and no class, so the page shows no class.
    let of_unet = page.split("<article").filter(|case| case.contains("data-model=\"unet-vgg16\""));
    assert!(of_unet.clone().count() > 0 && of_unet.clone().all(|case| !case.contains("data-correct")));
    assert!(page.split("<article").any(|case| case.contains("data-model=\"tiny\"") && case.contains("data-correct")));
    for file in
        ["tables/01-miou-by-class-at-200-of-255.tex", "figures/cases-unet-vgg16.svg", "figures/iou-unet-vgg16.svg"]
    {
        assert!(study().path("named").join(file).is_file(), "{file}");
    }
    let run = study().run_well(&[]);
    assert_eq!(run.ran(), [""; 0], "a report changes nothing that a run sees");
}

/// The text under a name in the section "Computing".
fn fact(page: &str, name: &str) -> Option<String> {
    let rest = page.split(&format!("<dt>{name}</dt><dd>")).nth(1)?;
    Some(rest.split("</dd>").next()?.to_owned())
}

#[test]
fn page_cites_the_run_that_made_it_and_has_its_overrides_in_the_header() {
    let of_study = page("cited");
    let overrides = ["--set", "stages.report.cases=2"];
    let run = study().run_well(&overrides);
    assert_eq!(run.ran(), ["report"]);
    let made_by = fact(&of_study, "made by run").expect("it was made by a run");
    assert_eq!(fact(&page("cited"), "made by run").as_ref(), Some(&made_by), "the latest run made another page");
    assert!(!of_study.contains("class=\"overrides\"") && fact(&of_study, "overrides").is_none());

    let said = study().orchestrate(&[&["report", "spec.toml", "--to", "overridden"], overrides.as_slice()].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    let overridden = study().read("overridden/report.html");
    let header = overridden.split("</header>").next().unwrap_or_default();
    assert!(header.contains("The spec with <code>") && header.contains(" stages.report.cases=2</code>"), "{header}");
    assert_ne!(fact(&overridden, "made by run"), Some(made_by));
    assert_eq!(fact(&overridden, "overrides").as_deref(), Some("stages.report.cases=2"));
    let of_run = ["overrides of that run", "spec of that run"].map(|name| fact(&overridden, name));
    assert_eq!(of_run, [None, None], "they are the same");
    assert!(fact(&overridden, "that run").is_some_and(|run| run.contains("36 hit, 1 ran")), "{overridden:?}");

    // An override with the same value gives the same page of the same run.
    let said = study().orchestrate(&["report", "spec.toml", "--to", "same", "--set", "stages.report.cases=4"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(fact(&study().read("same/report.html"), "overrides of that run").as_deref(), Some("none"));
}

#[test]
fn report_of_nodes_that_did_not_run_names_the_missing_ones() {
    let sandbox = Sandbox::with_spec(STUDY);
    sandbox.write("published.csv", PUBLISHED);
    let said = sandbox.orchestrate(&["report", "spec.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("the store lacks 37 results of 37 nodes: images,"), "{}", said.err);
    assert!(said.err.contains("orchestrate run spec.toml"), "{}", said.err);
    let set = ["--set", "stages.report.cases=3"];
    assert_eq!(sandbox.orchestrate(&["run", "spec.toml", "--only", "images", set[0], set[1]]).code, Some(0));
    let said = sandbox.orchestrate(&["report", "latest"]);
    assert_eq!(said.code, Some(2));
    let command = "orchestrate run DIR/spec.toml --set 'stages.report.cases=3'";
    assert!(said.err.contains(command), "{}", said.err);

    let (before, _) = STUDY.split_once("[stages.report]").expect("the study has a report");
    sandbox.write("without.toml", before);
    let said = sandbox.orchestrate(&["report", "without.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("has no stage of kind `report`") && said.err.contains("[stages.report]"), "{}", said.err);
    assert!(!sandbox.path("results").exists());
}

#[test]
fn export_writes_files_for_other_programs() {
    let export = |args: &[&str]| {
        let said = study().orchestrate(&[&["export"], args].concat());
        assert_eq!(said.code, Some(0), "{args:?}: {}", said.err);
        said.out
    };
    let files = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(study().path(folder)).expect("the folder was made");
        entries.map(|entry| entry.expect("it can be read").file_name().into_string().expect("plain")).collect()
    };
    export(&["masks", "spec.toml", "score[model=tiny,fold=1,threshold=q90]", "--to", "masks"]);
    assert_eq!(files("masks").len(), 12);
    let name = files("masks").swap_remove(0);
    let mask = image::open(study().path("masks").join(&name)).expect("a PNG").to_luma8();
    assert!(mask.dimensions() == (32, 32) && mask.pixels().all(|pixel| [0, 255].contains(&pixel.0[0])));
    // With the spec of the latest run, and a folder for each node.
    export(&["masks", "predict-masks", "--to", "predicted"]);
    assert_eq!(files("predicted").len(), 2);
    assert!(files("predicted").contains(&"unet=unet-vgg16,fold=1".to_owned()));
    export(&["heatmaps", "spec.toml", "cam[model=tiny,fold=1]", "--to", "heatmaps"]);
    assert!(files("heatmaps").iter().all(|name| name.ends_with(".npy")) && files("heatmaps").len() == 12);
    export(&["heatmaps", "spec.toml", "cam[model=tiny,fold=1]", "--format", "png", "--to", "heatmaps-png"]);
    assert!(files("heatmaps-png").iter().all(|name| name.ends_with(".png")));
    export(&["weights", "spec.toml", "train[model=tiny,fold=1]", "--to", "weights"]);
    assert!(files("weights").contains(&"weights.safetensors".to_owned()));
    export(&["table", "spec.toml", "iou", "--to", "table"]);
    assert!(study().read("table/table.csv").contains("unet-vgg16"));
    export(&["table", "spec.toml", "iou", "--to", "table"]);
    study().write("table/table.csv", "mine");
    let said = study().orchestrate(&["export", "table", "spec.toml", "iou", "--to", "table"]);
    assert!(said.code == Some(2) && said.err.contains("table/table.csv\nhelp: "), "{}", said.err);
    assert_eq!(study().read("table/table.csv"), "mine");
    export(&["table", "spec.toml", "iou", "--to", "table", "--overwrite"]);
    let said = study().orchestrate(&["export", "table", "spec.toml", "iou", "--to", ".orchestrate/x"]);
    assert!(said.code == Some(2) && said.err.contains("lies in the store"), "{}", said.err);

    let said = study().orchestrate(&["export", "weights", "spec.toml", "iou", "--to", "nothing"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("a node of kind table gives no weights, only: `table`"), "{}", said.err);
    assert!(!study().path("nothing").exists());
}

/// The script that measures the page in a browser; it posts the answers to the frame around it as JSON.
const PROBE: &str = r##"<script>addEventListener("load", () => setTimeout(() => {
  const shown = [...document.querySelectorAll(".case")].filter((it) => !it.hidden);
  const text = (it) => it.innerText.replace(/\s+/g, " ").trim();
  const cells = [...document.querySelectorAll("table.figures tbody tr")].map((row) => [...row.children].map(text));
  const answers = {
    width: innerWidth,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    background: getComputedStyle(document.body).backgroundColor,
    charts: document.querySelectorAll("svg.chart").length,
    matrices: document.querySelectorAll("table.matrix").length,
    cells,
    scrolled: [...document.querySelectorAll("main .scroll")].filter((it) => it.scrollWidth > it.clientWidth).map(text),
    count: document.getElementById("count").textContent,
    ious: shown.map((it) => Number(it.dataset.iou)),
    classes: [...new Set(shown.map((it) => it.dataset.class))],
    series: [...new Set(shown.map((it) => it.dataset.model))],
    cases: document.querySelectorAll(".case").length,
    panels: shown[0] ? [...shown[0].querySelectorAll("figcaption")].map((it) => it.textContent) : [],
    dangling: [...document.querySelectorAll("use")]
      .filter((it) => !document.querySelector(it.getAttribute("href"))).length,
    loaded: performance.getEntriesByType("resource").filter((it) => !it.name.startsWith("data:")).length,
    nodes: document.querySelectorAll("#nodes > li").length,
  };
  document.querySelector("td[data-cell]").click();
  answers.dialog = text(document.querySelector("dialog[open]"));
  parent.postMessage(JSON.stringify(answers), "*");
}));</script>"##;

/// A page around the page: a window of Chromium is at least 500 pixels wide, but a frame can be narrower.
fn frame(name: &str, width: u32, hash: &str) -> String {
    format!(
        r#"<!doctype html><meta name="color-scheme" content="light dark">
<script>addEventListener("message", (event) => {{
  const made = document.createElement("pre");
  made.id = "probe";
  made.textContent = event.data;
  document.body.append(made);
}});</script>
<iframe src="{name}{hash}" style="width:{width}px; height:900px; border:0"></iframe>"#
    )
}

/// Opens a page in Chromium; `None` if Chromium is not installed.
fn browse(name: &str, width: u32, dark: bool, hash: &str) -> Option<Value> {
    let candidates = ["chromium", "chromium-browser", "google-chrome"];
    let found = candidates.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok())?;
    study().write("browsed/frame.html", frame(name, width, &hash.replace('&', "&amp;")));
    let profile = tempfile::tempdir().expect("tests have a temporary folder");
    let mut command = Command::new(found);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]);
    command.args([
        "--disable-background-networking",
        "--disable-component-update",
        "--virtual-time-budget=5000",
        "--dump-dom",
    ]);
    command
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={},1000", width.max(500) + 50));
    command.arg(format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 }));
    let output =
        command.arg(format!("file://{}", study().path("browsed/frame.html").display())).output().expect("it starts");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let probe = dom.split("<pre id=\"probe\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let probe = probe.unwrap_or_else(|| panic!("no answer from the page: {}", String::from_utf8_lossy(&output.stderr)));
    let json = probe.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    Some(serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}")))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn page_is_readable_in_a_browser_at_both_widths_and_its_filters_work() {
    let page = page("browsed").replace("</body>", &format!("{PROBE}</body>"));
    study().write("browsed/probe.html", page);
    let name = "probe.html";
    let Some(wide) = browse(name, 1280, false, "") else {
        eprintln!("skipped: there is no Chromium");
        return;
    };
    assert_eq!(wide["overflow"], 0, "{wide}");
    assert_eq!(wide["background"], "rgb(255, 255, 255)");
    assert_eq!((&wide["loaded"], &wide["dangling"]), (&0.into(), &0.into()), "{wide}");
    // One sweep, three histograms, loss and another measure of three series, and matrices of two classifiers.
    assert_eq!((&wide["charts"], &wide["matrices"]), (&10.into(), &2.into()), "{wide}");
    assert_eq!(wide["nodes"], 37, "{wide}");
    assert_eq!(wide["scrolled"], json!([]), "a table of ten columns fits, so that none hides behind a scroll bar");
    let cells = wide["cells"].as_array().expect("rows of cells");
    assert_eq!(
        cells.iter().map(|row| texts(row)[0]).collect::<Vec<_>>(),
        ["tiny", "tiny-modified", "unet-vgg16", "tiny", "tiny-modified"]
    );
    let first = texts(&cells[0]);
    // The images are synthetic, so distances from reference values would mean nothing.
    assert!(first.len() == 6 && first[1].ends_with("published 0.999 (0.001)"), "{first:?}");
    assert!(texts(&cells[3]).len() == 10 && texts(&cells[3])[1].ends_with("published 0.999 (0.001)"), "{cells:?}");
    assert!(!texts(&cells[1])[1].contains("published"), "{cells:?}");
    assert_eq!(texts(&wide["series"]), ["tiny", "tiny-modified", "unet-vgg16"]);
    let panels = texts(&wide["panels"]);
    assert!(panels.len() == 4 && panels[1] == "heatmap" && panels[2].starts_with("200IoU 0."), "{panels:?}");
    let dialog = wide["dialog"].as_str().expect("a text");
    assert!(dialog.contains("model tiny, label all") && dialog.contains("from 2 nodes"), "{dialog}");
    assert!(dialog.contains("score[model=tiny,fold=2,threshold=200]"), "{dialog}");

    let narrow = browse(name, 400, true, "#class=glioma&model=unet-vgg16&sort=-iou").expect("it was there before");
    assert_eq!((&narrow["width"], &narrow["overflow"]), (&400.into(), &0.into()), "{narrow}");
    assert_ne!(narrow["background"], wide["background"], "dark is another colour");
    assert_eq!((texts(&narrow["classes"]), texts(&narrow["series"])), (vec!["glioma"], vec!["unet-vgg16"]));
    let ious: Vec<f64> = narrow["ious"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    assert!(ious.len() > 2 && ious.is_sorted(), "{ious:?}");
    assert_eq!(narrow["count"], format!("{} of {} cases", ious.len(), narrow["cases"]));

    let best = browse(name, 1280, false, "#pick=best&sort=iou").expect("it was there before");
    let ious: Vec<f64> = best["ious"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    assert!(ious.len() == 9 && ious.iter().rev().is_sorted(), "{ious:?}");
    let few = browse(name, 1280, false, "#min=0.2&max=0.4").expect("it was there before");
    let ious: Vec<f64> = few["ious"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    assert!(ious.iter().all(|iou| (0.2..=0.4).contains(iou)), "{ious:?}");
}
