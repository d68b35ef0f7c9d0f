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

# Training on the CPU beside PyTorch; `--python` names a Python that has it, see benches/README.md.
bench-train *arguments:
    cargo build --release --workspace --bin orchestrate-network
    python3 benches/train/bench.py {{ arguments }}

# Class activation maps on the CPU beside PyTorch, in the same way.
bench-cam *arguments:
    cargo build --release --workspace --bin orchestrate-network
    python3 benches/cam/bench.py {{ arguments }}

# A small study from phantom images to tables.
quickstart:
    cargo run --release -- run experiments/quickstart.toml
