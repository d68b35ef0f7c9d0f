//! The facts that a stage cannot see, added to its page afterwards: the node of each number, with its key, params,
//! device and duration.
//!
//! The page names its inputs by output digest (`data-source`) and cells of tables by their labels (`data-cell`). Three
//! marks in it are replaced: `orchestrate report` knows the nodes and calls [`add`].

use std::collections::HashSet;

use maud::{Markup, PreEscaped, html};
use serde::Serialize;

use super::page::element::{headings, row};
use crate::tables::first_seen::{index_or_push, push_once};

/// The mark for the changes of the spec in this study.
pub(super) const HEADER_MARK: &str = "<!--orchestrate:header-->";
/// The mark for links to the added sections.
pub(super) const CONTENTS_MARK: &str = "<!--orchestrate:contents-->";
/// The mark for the added sections.
pub(super) const BODY_MARK: &str = "<!--orchestrate:provenance-->";

/// The origins of the numbers of a report.
#[derive(Clone, Debug, Default)]
pub struct Provenance {
    /// `--set` values; they belong to the heading, because with others it is another study.
    pub overrides: Vec<String>,
    /// Facts about the study and the run that made the report, as (name, value): spec, version, devices and so on.
    pub facts: Vec<(String, String)>,
    /// The drawing of the study's stages, as SVG, and the same in words, a line a stage.
    pub graph: Option<(String, Vec<String>)>,
    /// The report's own node first, then all nodes that it depends on, directly or not, in the order of the plan.
    pub nodes: Vec<NodeSource>,
}

/// One node with its recorded result.
#[derive(Clone, Debug, Serialize)]
pub struct NodeSource {
    /// The node, for example `score[model=tiny,fold=3,threshold=200]`.
    pub name: String,
    /// The stage's name in the spec.
    pub stage: String,
    /// The kind of its stage.
    pub kind: String,
    /// Axes with their labels.
    pub point: Vec<(String, String)>,
    /// Its key, in full.
    pub key: String,
    /// Params as in the key.
    pub params: serde_json::Value,
    /// Named outputs with their digests.
    pub outputs: Vec<(String, String)>,
    /// Its inputs, as indices into [`Provenance::nodes`].
    pub inputs: Vec<usize>,
    /// The device, for example `cpu`.
    pub device: String,
    /// Duration of its stage.
    pub elapsed_ms: u64,
    /// Time of the record, in milliseconds since 1970.
    pub recorded_ms: u64,
}

/// The nodes of one stage together.
#[derive(Default)]
struct StageSum<'a> {
    stage: &'a str,
    kind: &'a str,
    nodes: usize,
    elapsed_ms: u64,
    longest_ms: u64,
    devices: Vec<String>,
    precisions: Vec<String>,
}

/// Adds the origins of its numbers to a page of the `report` stage; `None` if the page lacks the marks.
pub fn add(page: &str, provenance: &Provenance) -> Option<String> {
    let (before, rest) = page.split_once(HEADER_MARK)?;
    let (header, rest) = rest.split_once(CONTENTS_MARK)?;
    let (between, after) = rest.split_once(BODY_MARK)?;
    let contents = html! {
        @if provenance.graph.is_some() { a href="#graph" { "Graph" } " " }
        a href="#computing" { "Computing" } " " a href="#provenance" { "Where numbers come from" }
    };
    let body = html! { (graph(provenance)) (sections(provenance)) };
    let added = [overrides(&provenance.overrides), contents, body].map(Markup::into_string);
    Some([before, &added[0], header, &added[1], between, &added[2], after].concat())
}

fn overrides(overrides: &[String]) -> Markup {
    html! {
        @if !overrides.is_empty() {
            p class="overrides" {
                "The spec with " @for text in overrides { code { span class="flag" { "--set" } " " (text) } " " }
            }
        }
    }
}

/// Returns the id of the section about the results of a kind of stage, if a page has it.
pub fn section(page: &str, kind: &str) -> Option<&'static str> {
    let id = match kind {
        "dataset" | "split" => "data",
        "features" | "train" | "segment" => "training",
        "cam" | "predict-masks" => "cases",
        "threshold" | "score" => "thresholds",
        "table" | "compare" => "tables",
        "classify" => "confusion",
        _ => return None,
    };
    page.contains(&format!("<section id=\"{id}\">")).then_some(id)
}

fn graph(provenance: &Provenance) -> Markup {
    html! {
        @if let Some((svg, words)) = &provenance.graph {
            section id="graph" {
                h2 { "The study as a graph" }
                p { "A box is a stage. Select one to see its results above." }
                (PreEscaped(svg))
                details {
                    summary { "The same in words" }
                    ul { @for line in words { li { (line) } } }
                }
            }
        }
    }
}

fn sections(provenance: &Provenance) -> Markup {
    let sums = sums(&provenance.nodes);
    let (total_ms, none): (u64, _) = (sums.iter().map(|sum| sum.elapsed_ms).sum(), String::new);
    html! {
        section id="computing" {
            h2 { "Computing" }
            dl class="list" { @for (name, value) in &provenance.facts { div { dt { (name) } dd { (value) } } } }
            div class="scroll" tabindex="0" {
                table {
                    caption { "Time by stage" span class="quiet" { " as recorded when each node ran" } }
                    (headings(["stage", "kind", "nodes", "in all", "longest", "device", "precision"]))
                    tbody {
                        @for sum in &sums {
                            @let [times, longest] = [sum.elapsed_ms, sum.longest_ms].map(duration);
                            @let precisions = Some(sum.precisions.join(", ")).filter(|all| !all.is_empty());
                            (row(None, sum.stage, &[sum.kind.to_owned(), sum.nodes.to_string(), times, longest,
                                sum.devices.join(", "), precisions.unwrap_or_else(|| "–".to_owned())]))
                        }
                        (row(Some("total"), "all", &[none(), provenance.nodes.len().to_string(), duration(total_ms),
                            none(), none(), none()]))
                    }
                }
            }
        }
        section id="provenance" {
            h2 { "Where each number comes from" }
            p { "Select a number in a table to see the nodes it depends on. Each node below has its key, the params in "
                "the key, and the digests of its outputs; " code { "orchestrate store show KEY" }
                " prints the whole record." }
            label class="controls" {
                span { "Find" } input id="find-node" type="search" placeholder="node, key or digest" autocomplete="off";
            }
            ul id="nodes" class="nodes" {
                @for node in &provenance.nodes { (entry(node)) }
            }
            script type="application/json" id="provenance-data" { (PreEscaped(json(&provenance.nodes))) }
        }
    }
}

fn entry(node: &NodeSource) -> Markup {
    html! {
        li data-node=(node.name) {
            details {
                summary { code { (node.name) } " " span class="quiet" {
                    "key " (node.key.get(..12).unwrap_or(&node.key)) ", " (duration(node.elapsed_ms)) " on "
                    (node.device)
                } }
                dl class="list" {
                    div { dt { "kind" } dd { (node.kind) } }
                    div { dt { "key" } dd { code { (node.key) } } }
                    div { dt { "params" } dd { code { (node.params.to_string()) } } }
                    @for (name, digest) in &node.outputs { div { dt { "output " (name) } dd { code { (digest) } } } }
                }
            }
        }
    }
}

/// Encodes the nodes as JSON for a script: without `<`, so that nothing ends the script.
fn json(nodes: &[NodeSource]) -> String {
    serde_json::to_string(nodes).expect("nodes are texts and numbers").replace('<', "\\u003c")
}

fn sums(nodes: &[NodeSource]) -> Vec<StageSum<'_>> {
    let mut sums: Vec<StageSum<'_>> = Vec::new();
    // Nodes of one key share one result, which took its time once.
    let mut seen = HashSet::new();
    for node in nodes {
        let new = || StageSum { stage: &node.stage, kind: &node.kind, ..StageSum::default() };
        let index = index_or_push(&mut sums, |sum: &StageSum<'_>| sum.stage == node.stage, new);
        let sum = &mut sums[index];
        sum.nodes += 1;
        sum.elapsed_ms += if seen.insert(&node.key) { node.elapsed_ms } else { 0 };
        sum.longest_ms = sum.longest_ms.max(node.elapsed_ms);
        push_once(&mut sum.devices, &node.device);
        if let Some(precision) = node.params.get("precision").and_then(serde_json::Value::as_str) {
            push_once(&mut sum.precisions, precision);
        }
    }
    sums
}

/// Formats a duration: `0.04 s`, `12.3 s`, `4 min 05 s`, `2 h 01 min`.
fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds as f64 / 1000.0;
    match milliseconds {
        0..10_000 => format!("{seconds:.2} s"),
        10_000..120_000 => format!("{seconds:.1} s"),
        120_000..7_200_000 => format!("{} min {:02} s", milliseconds / 60_000, milliseconds / 1000 % 60),
        _ => format!("{} h {:02} min", milliseconds / 3_600_000, milliseconds / 60_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, elapsed_ms: u64) -> NodeSource {
        NodeSource {
            name: name.to_owned(),
            stage: name.split('[').next().unwrap_or_default().to_owned(),
            kind: "train".to_owned(),
            point: vec![("model".to_owned(), "</script><b>".to_owned())],
            key: format!("0123456789abcdef {name}"),
            params: serde_json::json!({ "precision": "f32", "epochs": 3 }),
            outputs: vec![("weights".to_owned(), "fedcba".to_owned())],
            inputs: Vec::new(),
            device: "cpu".to_owned(),
            elapsed_ms,
            recorded_ms: 1,
        }
    }

    #[test]
    fn sections_take_the_place_of_the_marks_and_nothing_ends_the_script() {
        let page = format!("{HEADER_MARK}<nav>{CONTENTS_MARK}</nav><main>{BODY_MARK}</main>");
        let provenance = Provenance {
            overrides: vec!["axes.fold=[\"<i>\"]".to_owned()],
            facts: vec![("spec".to_owned(), "a<b>.toml".to_owned())],
            graph: Some(("<svg></svg>".to_owned(), vec!["train, over <fold>".to_owned()])),
            nodes: vec![node("train[fold=1]", 61_000), node("train[fold=2]", 60_000)],
        };
        let page = add(&page, &provenance).unwrap();
        assert!(!page.contains("orchestrate:") && page.contains("a&lt;b&gt;.toml"), "{page}");
        assert!(
            page.starts_with("<p class=\"overrides\">")
                && page.contains("--set</span> axes.fold=[&quot;&lt;i&gt;&quot;]"),
            "{page}"
        );
        assert!(page.contains("<svg></svg>") && page.contains("over &lt;fold&gt;") && page.contains("href=\"#graph\""));
        assert!(page.contains("2 min 01 s") && page.contains(">cpu<") && page.contains(">f32<"), "{page}");
        assert_eq!(page.matches("</script>").count(), 1);
        let data = page.split("provenance-data\">").nth(1).unwrap().split("</script>").next().unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data[0]["point"][0][1], "</script><b>");
    }

    #[test]
    fn a_kind_leads_to_its_section_if_the_page_has_it() {
        let page = "<section id=\"training\"><h2>";
        assert_eq!(
            (section(page, "train"), section(page, "table"), section(page, "command")),
            (Some("training"), None, None)
        );
    }

    #[test]
    fn time_of_a_result_that_nodes_share_is_counted_once() {
        let twin = NodeSource { name: "train[fold=3]".to_owned(), ..node("train[fold=2]", 60_000) };
        let nodes = [node("train[fold=1]", 61_000), node("train[fold=2]", 60_000), twin];
        let [sum] = &sums(&nodes)[..] else { panic!("there is one stage") };
        assert_eq!((sum.nodes, sum.elapsed_ms, sum.longest_ms), (3, 121_000, 61_000));
    }

    #[test]
    fn page_of_something_else_has_no_place_for_it() {
        assert_eq!(add("<html></html>", &Provenance::default()), None);
    }
}
