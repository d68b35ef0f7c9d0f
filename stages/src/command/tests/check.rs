//! Wrong commands and what is said about them.

use orchestrate_engine::stage::Stage;

use super::bench::{COMMAND, table};

#[test]
fn a_wrong_command_is_told_what_is_wrong_where_and_what_would_be_right() {
    let placeholders =
        "placeholders: {params.bins}, {in.PORT}, {out}, {code}, {threads}; write `{{` and `}}` for braces";
    let did_you_mean = format!("did you mean `{{bins}}`? {placeholders}");
    for (toml, place, message, help) in [
        (
            r#"argv = ["a", "{out}", "{bin}"]
            params = { bins = 1 }
            code = ["x.py"]"#,
            "\"{bin}\"",
            "`argv`: unknown placeholder `{bin}`",
            did_you_mean.as_str(),
        ),
        (
            r#"argv = ["a", "{out}", "${HOME}"]
            params = { bins = 1 }
            code = ["x.py"]"#,
            "\"${HOME}\"",
            "`argv`: unknown placeholder `{HOME}`",
            placeholders,
        ),
        (
            r#"argv = ["a", "{out}", "{"]"#,
            "\"{\"",
            "`argv`: `{` opens a placeholder that is not closed",
            "write `{{` for `{` and `}}` for `}`",
        ),
        (
            r#"argv = ["a", "{out}", "{code.y.py}"]
            code = ["x.py"]"#,
            "\"{code.y.py}\"",
            "`argv`: `code` lists no `y.py`, only: x.py",
            "list each file in `code` and write the end of its path in the placeholder",
        ),
        (
            r#"argv = ["a", "{out}"]
            outputs = ["b", "c"]"#,
            "\"{out}\"",
            "`argv`: `{out}` could be any of the outputs b, c",
            "outputs: b, c",
        ),
        (
            r#"argv = ["a", "{out.b}"]
            outputs = ["b", "c"]"#,
            "[\"a\", \"{out.b}\"]",
            "`argv` does not tell the program where output `c` goes",
            "add an item with `{out.c}`, the folder that it writes to",
        ),
        ("argv = []", "[]", "`argv` names no program", "put the program first: [\"python3\", …]"),
        (
            r#"argv = ["a", "{out}"]
            version = ["a", "{out}"]"#,
            "\"{out}\"",
            "`version`: only params can stand here",
            "the version is asked before there are inputs",
        ),
        (
            r#"argv = ["a", "{out.a/b}"]
            outputs = ["a/b"]"#,
            "\"a/b\"",
            "`a/b` cannot be the name of an output",
            "use letters, digits, `_` and `-`",
        ),
        (
            r#"argv = ["a", "{out}"]
            env = ["TOKEN"]
            secret_env = ["TOKEN"]"#,
            "\"TOKEN\"",
            "`TOKEN` is already in `env`",
            "a variable is either keyed (`env`) or secret (`secret_env`)",
        ),
        (
            r#"argv = ["a", "{out}"]
            env = ["A=1"]"#,
            "\"A=1\"",
            "`A=1` is not the name of an environment variable",
            "only the name is given here; the value is taken from the environment",
        ),
        (
            r#"argv = ["a", "{out}"]
            params = { day = [2026-01-01] }"#,
            "2026-01-01",
            "param `day` is a date",
            "write it as a text, in quotes",
        ),
        (
            r#"argv = ["a", "{out}"]
            params = { deep = { x = -inf } }"#,
            "-inf",
            "param `deep.x` is not a finite number",
            "write it as a text, in quotes",
        ),
    ] {
        let problems = COMMAND.check(&table(toml)).expect_err(toml).problems;
        let found = problems.iter().find(|problem| problem.message == message);
        let found = found.unwrap_or_else(|| panic!("{message} is not in {problems:#?}"));
        let start = toml.rfind(place).expect("the place is in the text");
        assert_eq!(&toml[found.span.clone()], place, "{message}");
        assert!(found.span.start == start || toml.find(place) == Some(found.span.start), "{message}");
        assert_eq!(found.help.as_deref(), Some(help), "{message}");
    }
}

#[test]
fn all_problems_are_reported_at_once_in_their_order() {
    let problems = COMMAND
        .check(&table("argv = [\"a\", \"{x}\", \"}\"]\nenv = 3\noutput = [\"b\"]\nsecret_env = [\"\"]"))
        .expect_err("nothing about it is right")
        .problems;
    let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(messages.len(), 5, "{messages:?}");
    assert_eq!(messages[..2], ["`argv`: unknown placeholder `{x}`", "`argv`: `}` closes no placeholder"]);
    assert_eq!(messages[2], "`env` must be a list of texts, not the number 3");
    assert_eq!(messages[3], "unknown field `output`");
    assert_eq!(messages[4], "`` is not the name of an environment variable");
}

#[test]
fn a_script_that_the_program_cannot_find_is_to_be_listed_as_code() {
    for (argv, found) in [
        (r#"["python3", "-u", "code/summary.py", "{out}"]"#, Some("code/summary.py")),
        (r#"["scripts/run.sh", "{out}"]"#, Some("scripts/run.sh")),
        (r#"["Rscript", "plot.R", "{out}"]"#, Some("plot.R")),
        (r#"["python3", "{code}", "{out}", "--as", "other.py"]"#, None),
        (r#"["python3", "/opt/tool/run.py", "{out}"]"#, None),
        (r#"["python3", "-m", "tool", "{out}"]"#, None),
        (r#"["sh", "-ec", "touch a.sh; mv a.sh \"$1\"", "sh", "{out}"]"#, None),
        (r#"["tool", "{out}"]"#, None),
    ] {
        let problems = COMMAND
            .check(&table(format!("argv = {argv}\ncode = [\"x.py\"]").leak()))
            .err()
            .unwrap_or_default()
            .problems;
        let told = problems.iter().find(|problem| problem.message.contains("starts in an empty folder"));
        assert_eq!(told.is_some(), found.is_some(), "{argv}: {problems:?}");
        if let (Some(problem), Some(path)) = (told, found) {
            assert!(problem.message.contains(path), "{}", problem.message);
            assert!(problem.help.as_ref().is_some_and(|help| help.contains(&format!("code = [\"{path}\"]"))), "{argv}");
        }
    }
}
