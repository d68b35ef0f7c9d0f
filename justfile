# Recipes for https://just.systems; each is one command, so none of them needs `just`.

# Lists the recipes.
default:
    @just --list

# Runs the checks of CI: format, lints, docs, tests, a plan of every experiment.
check:
    .ci/run

# Formats everything.
fmt:
    cargo fmt --all

# Runs the tests; `just test --lib plan` runs some of them.
test *arguments:
    cargo test --release --workspace {{ arguments }}

# Runs the tests of the crates without Burn and the network, in the default profile.
test-light *arguments:
    cargo test -p orchestrate-cache -p orchestrate-engine -p orchestrate-stages {{ arguments }}

# Fuzzes one reader for a minute: `just fuzz picture`; see CONTRIBUTING.md.
fuzz target *arguments='-max_total_time=60':
    cp Cargo.lock tests/fuzz/Cargo.lock
    cd tests/fuzz && cargo +nightly fuzz run --fuzz-dir . --features networks {{ target }} -- {{ arguments }}

# Opens the documentation of the crates in a browser.
doc:
    cargo doc --no-deps --workspace --release --open

# Writes the documentation as a book to target/book; needs mdBook 0.5.
book:
    mdbook build docs

# Measures the engine beside ninja, both with nothing to do; see benches/README.md.
bench-noop *arguments:
    cargo build --release --workspace --bin orchestrate-noop
    python3 benches/noop/bench.py {{ arguments }}

# Measures a light node that runs, beside ninja.
bench-node *arguments:
    cargo build --release --workspace --bin orchestrate-noop
    python3 benches/noop/bench.py --node --thresholds 51 {{ arguments }}

# Measures a no-op beside up to ten million results of others; needs 8 GB of disk.
bench-store *arguments:
    cargo build --release --workspace --bin orchestrate-noop --bin orchestrate-fill-store
    python3 benches/store/bench.py {{ arguments }}

# Measures checks for changed files, decoding and the image table beside OpenCV, os.stat and cp (Python with OpenCV).
bench-data *arguments:
    cargo build --release --workspace --bin orchestrate --bin orchestrate-image-table
    python3 benches/data/bench.py {{ arguments }}

# Measures time and memory of a data set of 3,064, 24,512 and 112,120 images, linked from a folder with labels.csv.
bench-dataset folder *arguments:
    cargo build --release --workspace --bin orchestrate
    python3 benches/dataset/bench.py {{ folder }} {{ arguments }}

# Measures a node on a cluster beside Snakemake, on a Slurm of its own; `--snakemake` names one, see benches/README.md.
bench-cluster *arguments:
    cargo build --release --workspace --bin orchestrate
    python3 benches/cluster/bench.py {{ arguments }}

# Runs the tests of GPU code on drivers in software; see CONTRIBUTING.md.
gpu:
    cargo test --profile gpu --features wgpu --test gpu

# Runs the stories of tests/cluster; they start clusters of Slurm and Grid Engine where these are installed.
cluster:
    cargo test --release --workspace --test cluster -- --test-threads 8

# The last line is `ran twice T, lost L, wrong W of N rounds`.
# Runs N rounds of eight engines on one store, with kills and collections.
crowd rounds="20":
    CROWD_ROUNDS={{ rounds }} bash -o pipefail -c "cargo test --release --workspace --test e2e crowd:: -- --nocapture \
        2>&1 | grep -oE '(round [0-9]+:|engine [0-9]+:|error|ran twice).*'"

# Runs N rounds of eight engines on two hosts without common locks; some are stopped, some killed. Linux, root.
# The last line is `failed F, lost L, several S of N rounds`.
hosts rounds="20":
    HOSTS_ROUNDS={{ rounds }} bash -o pipefail -c "cargo test --release --workspace --test e2e hosts:: -- --nocapture \
        2>&1 | grep -oE '(round [0-9]+:|engine [0-9]+:|error|skipped|failed ).*'"

# Measures a sweep over thresholds beside a loop in Python; see benches/README.md.
bench-sweep *arguments:
    cargo build --release --workspace
    python3 benches/sweep/bench.py {{ arguments }}

# Measures training on the CPU beside PyTorch; `--python` names a Python that has it, see benches/README.md.
bench-train *arguments:
    cargo build --release --workspace --bin orchestrate-network
    python3 benches/train/bench.py {{ arguments }}

# Measures class activation maps on the CPU beside PyTorch, in the same way.
bench-cam *arguments:
    cargo build --release --workspace --bin orchestrate-network
    python3 benches/cam/bench.py {{ arguments }}

# Kills engines, workers and collections at N random points, and reports losses.
crash N="1000" *seed:
    cargo build --release --workspace --bin orchestrate-crash
    target/release/orchestrate-crash kill {{ N }} {{ seed }}

# Kills them at every change of the disk once, then fills the disk at each.
crash-points:
    cargo build --release --workspace --bin orchestrate-crash
    target/release/orchestrate-crash points
    target/release/orchestrate-crash full

# Cuts the power of two engines at N steps, on a filesystem in a file (Linux, root), and reports lost results.
power N="200" *seed:
    cargo build --release --workspace --bin orchestrate-crash
    target/release/orchestrate-crash power {{ N }} {{ seed }}

# Flips, cuts, zeroes and deletes every file of a store once, and reports whether a wrong byte was served.
corrupt:
    cargo build --release --workspace --bin orchestrate-crash
    target/release/orchestrate-crash corrupt

# Builds the wheel, with the program and the Python package, into target/wheels: `pip install target/wheels/*.whl`.
wheel *arguments:
    maturin build --release --locked {{ arguments }}

# Builds a wheel for old Linux systems, glibc 2.17 and later; needs `pip install maturin ziglang`. Another linker makes
# cargo compile everything once more, so it has a target folder of its own. Nobody has tried it to the end.
wheel-manylinux *arguments:
    CARGO_TARGET_DIR=target/manylinux maturin build --release --locked --zig --compatibility manylinux2014 \
        --target x86_64-unknown-linux-gnu {{ arguments }}

# Builds a wheel for Macs of both processors, on a Mac: `rustup target add x86_64-apple-darwin aarch64-apple-darwin`.
wheel-macos *arguments:
    maturin build --release --locked --target universal2-apple-darwin {{ arguments }}

# Tests the wheel in a fresh virtual environment, the package, and experiments/own-model.toml where there is torch.
test-python *arguments:
    tests/python/run.sh {{ arguments }}

# Runs a small study from phantom images to tables.
quickstart:
    cargo run --release -- run experiments/quickstart.toml
