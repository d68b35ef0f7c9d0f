//! Renders the problems of a spec: message, location with the line and a caret, facts, and what to do.

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use orchestrate_engine::alike::grouped;
use orchestrate_engine::diagnostic::{Diagnostic, Severity, SpecError};
use orchestrate_engine::source::{SourceLocation, SourceLocator, Span};

use crate::terminal::{is_hidden, visible};

/// Renders all findings in order, separated by blank lines; of those of one cause, the first. If there are errors, a
/// last line counts them.
pub(crate) fn render(found: &SpecError, colour: bool) -> String {
    let mut locator = found.sources.locator();
    let diagnostics = grouped(&found.diagnostics);
    let mut texts: Vec<_> = diagnostics.iter().map(|finding| render_one(&mut locator, finding, colour)).collect();
    texts.extend(last_line(found, colour));
    texts.join("\n\n") + "\n"
}

/// The line `error: 3 problems in experiments/kang2021.toml`; `None` if the file itself could not be read.
fn last_line(found: &SpecError, colour: bool) -> Option<String> {
    // The first source is the spec, unless only overrides (`--set`) could be read.
    let spec = &found.sources.source_at(0).filter(|source| !source.name.starts_with("--"))?.name;
    let errors = found.diagnostics.iter().filter(|finding| finding.severity == Severity::Error).count();
    let problems = match errors {
        0 => return None,
        1 => "1 problem".to_owned(),
        _ => format!("{errors} problems"),
    };
    let title = Level::ERROR.primary_title(format!("{problems} in {}", visible(spec)));
    Some(renderer(colour).render(&[Group::with_title(title)]))
}

fn render_one(locator: &mut SourceLocator<'_>, diagnostic: &Diagnostic, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(visible(&diagnostic.message));
    let mut elements: Vec<Element<'_>> = Vec::new();
    if let Some(span) = &diagnostic.span {
        elements.extend(location(locator, span));
    }
    elements.extend(diagnostic.notes.iter().map(|note| Level::NOTE.no_name().message(visible(note)).into()));
    let mut groups = vec![Group::with_title(title).elements(elements)];
    groups.extend(diagnostic.help.iter().map(|help| Group::with_title(Level::HELP.secondary_title(visible(help)))));
    renderer(colour).render(&groups)
}

/// The most bytes of a line that are shown before a span, and from its start on: one line may have thousands of
/// problems.
const SHOWN_BEFORE: usize = 200;
const SHOWN_FROM: usize = 300;

/// The line of a span with carets below it. A span of several lines, such as a whole table, shows the first one; a long
/// line is cut around the span.
fn location<'a>(locator: &mut SourceLocator<'a>, span: &Span) -> Vec<Element<'a>> {
    let Some(source) = locator.source_at(span.start) else { return Vec::new() };
    // A problem at the end of a text is shown on the last line, not on the empty one after it.
    let start = (span.start - source.base).min(source.text.trim_end_matches(['\n', '\r']).len());
    let Some(SourceLocation { line, column, line_start, .. }) = locator.locate(source.base + start) else {
        return vec![Origin::path(visible(&source.name)).into()];
    };
    let begin = if start - line_start <= SHOWN_BEFORE {
        line_start
    } else {
        source.text.floor_char_boundary(start - SHOWN_BEFORE / 2)
    };
    let from = &source.text[start..source.text.floor_char_boundary(start + SHOWN_FROM)];
    let from = from.split_once('\n').map_or(from, |(line, _)| line).trim_end_matches('\r');
    let marked = span.end.saturating_sub(source.base).saturating_sub(start).min(from.len());
    let marked = from.get(..marked).unwrap_or_default().trim_end().len();
    let cut = if begin == line_start { "" } else { "…" };
    let shown = format!("{cut}{}{from}", &source.text[begin..start]);
    let at = cut.len() + start - begin;
    let snippet = Snippet::source(without_actions(shown))
        .line_start(line)
        .annotation(AnnotationKind::Primary.span(at..at + marked));
    if cut.is_empty() {
        vec![snippet.path(visible(&source.name)).into()]
    } else {
        // The snippet alone would count columns from its own start.
        vec![Origin::path(visible(&source.name)).line(line).char_column(column).into(), snippet.into()]
    }
}

/// Replaces characters that act on a terminal, keeping offsets. The renderer itself shows those of one byte.
fn without_actions(text: String) -> String {
    let acts = |c: char| is_hidden(c) && !c.is_ascii();
    if !text.contains(acts) {
        return text;
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) { shown.extend(std::iter::repeat_n('?', c.len_utf8())) } else { shown.push(c) }
    }
    shown
}

fn renderer(colour: bool) -> Renderer {
    if colour { Renderer::styled() } else { Renderer::plain() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use orchestrate_engine::source::SourceMap;
    use orchestrate_engine::spec;

    use super::*;

    const TEXT: &str = "\
[experiment]
name = \"kang2021\"

[stages.score]
kind = \"score\"
inputs = { cams = \"cma\" }
images = [
  \"all\",
  \"größte\",
]
";

    /// Diagnostics in a spec that lies in `file`, rendered and with only the file's name shown.
    fn rendered(file: &str, text: &str, overrides: &[&str], diagnostics: &[Diagnostic], colour: bool) -> String {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let path = dir.path().join(file);
        std::fs::write(&path, text).expect("a file can be written");
        let overrides: Vec<_> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let found = SpecError { sources: sources(&path, &overrides), diagnostics: diagnostics.to_vec() };
        let text = render(&found, colour);
        text.replace(&format!("{}/", dir.path().display()), "")
    }

    fn sources(path: &Path, overrides: &[String]) -> SourceMap {
        match spec::load(path, overrides) {
            Ok(spec) => spec.sources,
            Err(error) => error.sources,
        }
    }

    fn at(written: &str, diagnostic: Diagnostic) -> Diagnostic {
        let start = TEXT.find(written).expect("the text contains it");
        diagnostic.at(start..start + written.len())
    }

    #[test]
    fn a_problem_has_its_line_a_caret_facts_and_help() {
        let problem = Diagnostic::error("stage `score` reads `cma`, which is not declared");
        let problem = at("\"cma\"", problem.names("declared stages", "cma", ["images", "split", "train", "cam"]));
        insta::assert_snapshot!(rendered("kang2021.toml", TEXT, &[], &[problem], false), @r#"
        error: stage `score` reads `cma`, which is not declared
         --> kang2021.toml:6:19
          |
        6 | inputs = { cams = "cma" }
          |                   ^^^^^
          |
          = declared stages: images, split, train, cam
        help: did you mean `cam`?

        error: 1 problem in kang2021.toml
        "#);
    }

    #[test]
    fn all_problems_are_shown_and_the_errors_are_counted() {
        let diagnostics = [
            at("kind", Diagnostic::warning("nothing reads stage `score`")),
            at("[\n  \"all\",\n  \"größte\",\n]", Diagnostic::error("`images` is a list")),
            at(
                "\"größte\"",
                Diagnostic::error("`größte` is no selection of images").help("write \"all\" or \"correct\""),
            ),
            Diagnostic::error("cannot read base.toml: no such file").note("the working directory is /"),
        ];
        insta::assert_snapshot!(rendered("kang2021.toml", TEXT, &[], &diagnostics, false), @r#"
        warning: nothing reads stage `score`
         --> kang2021.toml:5:1
          |
        5 | kind = "score"
          | ^^^^

        error: `images` is a list
         --> kang2021.toml:7:10
          |
        7 | images = [
          |          ^

        error: `größte` is no selection of images
         --> kang2021.toml:9:3
          |
        9 |   "größte",
          |   ^^^^^^^^
          |
        help: write "all" or "correct"

        error: cannot read base.toml: no such file
         |
         = the working directory is /

        error: 3 problems in kang2021.toml
        "#);
    }

    #[test]
    fn warnings_alone_are_not_counted() {
        let warning = at("kind", Diagnostic::warning("nothing reads stage `score`"));
        insta::assert_snapshot!(rendered("kang2021.toml", TEXT, &[], &[warning], false), @r#"
        warning: nothing reads stage `score`
         --> kang2021.toml:5:1
          |
        5 | kind = "score"
          | ^^^^
        "#);
    }

    #[test]
    fn a_file_that_cannot_be_read_has_no_location() {
        let problem = Diagnostic::error("cannot read no-such-folder/spec.toml: no such file");
        for overrides in [vec![], vec!["stages.score.images=1".to_owned()]] {
            let sources = sources(Path::new("no-such-folder/spec.toml"), &overrides);
            let text = render(&SpecError { sources, diagnostics: vec![problem.clone()] }, false);
            assert_eq!(text, "error: cannot read no-such-folder/spec.toml: no such file\n");
        }
    }

    #[test]
    fn the_end_of_a_file_and_an_override_are_locations_too() {
        let problem = Diagnostic::error("this is not TOML: unclosed array").at(9..9);
        insta::assert_snapshot!(rendered("open.toml", "axes = [\n", &[], &[problem], false), @"
        error: this is not TOML: unclosed array
         --> open.toml:1:9
          |
        1 | axes = [
          |         ^

        error: 1 problem in open.toml
        ");
        let start = TEXT.len() + 1 + "stages.score.images=".len();
        let problem = Diagnostic::error("`al` is no selection of images").at(start..start + 4);
        let overrides = ["stages.score.images=\"al\""];
        insta::assert_snapshot!(rendered("kang2021.toml", TEXT, &overrides, &[problem], false), @r#"
        error: `al` is no selection of images
         --> --set:1:21
          |
        1 | stages.score.images="al"
          |                     ^^^^

        error: 1 problem in kang2021.toml
        "#);
    }

    #[test]
    fn long_line_is_cut_around_the_span_and_keeps_its_column() {
        let text = format!("axes = {{ ü = [{}oops] }}\n", "1, ".repeat(400));
        let start = text.find("oops").expect("it is there");
        let problem = Diagnostic::error("this is no value").at(start..start + 4);
        let shown = rendered("long.toml", &text, &[], &[problem], false);
        assert!(shown.contains("--> long.toml:1:1215"), "{shown}");
        assert!(shown.contains("1, oops] }\n") && shown.lines().all(|line| line.len() < 300), "{shown}");
        let caret = shown.lines().find(|line| line.contains('^')).expect("it is marked");
        let line = shown.lines().find(|line| line.contains("oops")).expect("it is shown");
        assert_eq!(
            caret.chars().position(|c| c == '^'),
            line.split_once("oops").map(|(before, _)| before.chars().count())
        );
    }

    #[test]
    fn colour_is_added_to_the_same_text() {
        let problem = [at("\"cma\"", Diagnostic::error("unknown").note("fact").help("do"))];
        let coloured = rendered("kang2021.toml", TEXT, &[], &problem, true);
        assert!(coloured.contains("\u{1b}["));
        let mut rest = coloured.as_str();
        let mut plain = String::new();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            plain.push_str(before);
            rest = after.split_once('m').expect("a colour ends with m").1;
        }
        assert_eq!(plain + rest, rendered("kang2021.toml", TEXT, &[], &problem, false));
    }
}
