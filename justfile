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

# The engine beside ninja, both with nothing to do; see benches/README.md.
bench-noop *arguments:
    cargo build --release -p orchestrate-bench-noop
    python3 benches/noop/bench.py {{ arguments }}

# Kills engines, workers and collections at N random points, and says what was lost.
crash N="1000" *seed:
    cargo build --release --workspace --bin orchestrate-crash
    target/release/orchestrate-crash kill {{ N }} {{ seed }}

# Kills them at every change of the disk once, and then fills the disk at each.
crash-points:
    cargo build --release --workspace --bin orchestrate-crash
    target/release/orchestrate-crash points
    target/release/orchestrate-crash full

# Flips, cuts, zeroes and deletes every file of a store once, and says whether a wrong byte was served.
corrupt:
    cargo build --release --workspace --bin orchestrate-crash
    target/release/orchestrate-crash corrupt

# A small study from phantom images to tables.
quickstart:
    cargo run --release -- run experiments/quickstart.toml
