# Recipes for https://just.systems; each is one command, so none of them needs `just`.

# Lists the recipes.
default:
    @just --list

# What CI runs: format, lints, docs, tests, a plan of every experiment.
check:
    .ci/run

# Formats everything.
fmt:
    cargo fmt --all

# The tests; `just test --lib plan` for some of them.
test *arguments:
    cargo test --release --workspace {{ arguments }}

# The documentation of the crates, opened in a browser.
doc:
    cargo doc --no-deps --workspace --release --open

# A small study from phantom images to tables.
quickstart:
    cargo run --release -- run experiments/quickstart.toml
