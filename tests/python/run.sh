#!/usr/bin/env bash
# A fresh virtual environment → the wheel → quickstart → a pandas table; then the tests of the package.
#
#     tests/python/run.sh [DIR]         # DIR keeps the environment for the next time; else it is temporary
#
# Builds the program by `cargo build --release` of the same target folder, so it compiles nothing twice. Skips with a
# reason where Python or a package index is missing.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

skip() {
  echo "skipped: $1"
  exit 0
}

python="${PYTHON:-python3}"
command -v "${python}" >/dev/null || skip "there is no ${python}"
"${python}" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || skip "${python} is older than 3.9"
"${python}" -c 'import venv, ensurepip' 2>/dev/null || skip "${python} has no venv (Debian: python3-venv)"

work="$(mktemp -d)"
trap 'rm -rf "${work}"' EXIT
venv="$(realpath --canonicalize-missing "${1:-${work}/venv}")"
[ -x "${venv}/bin/python" ] || "${python}" -m venv "${venv}"
bin="${venv}/bin"
# What the wheel depends on, and the tools of this test, of one version each.
"${bin}/pip" install --quiet --disable-pip-version-check 'maturin>=1.9,<2' numpy pandas pyarrow pytest \
  mypy==2.4.1 pandas-stubs==3.1.0.261029 >"${work}/pip.log" 2>&1 ||
  skip "pip cannot install packages here: $(tail -1 "${work}/pip.log")"

"${bin}/maturin" build --release --locked --out "${work}/wheels"
"${bin}/pip" install --quiet --disable-pip-version-check --no-deps --force-reinstall "${work}"/wheels/*.whl

# Nothing of this checkout may be needed from here on: no target folder, no python/ on the path.
unset PYTHONPATH ORCHESTRATE ORCHESTRATE_STORE
mkdir -p "${work}/clone/tests" "${work}/project"
cp -r tests/python "${work}/clone/tests/"
cp -r experiments "${work}/clone/"
cp experiments/quickstart.toml "${work}/project/"
cd "${work}/project"
touch orchestrate.toml
"${bin}/orchestrate" run quickstart.toml >run.txt
tail -1 run.txt
"${bin}/python" - <<'PYTHON'
import orchestrate
import pandas

table = orchestrate.table("iou", "quickstart.toml")
csv = "results/quickstart/iou/table.csv"
published = pandas.read_csv(csv, dtype={"threshold": str}, float_precision="round_trip")
assert list(table["mean"]) == list(published["mean"]) and len(table) == 10, table
print(table.pivot(index="model", columns="threshold", values="mean").round(3))
PYTHON

# As `python -m mypy` sees the installed package: it has types for those who use it.
"${bin}/mypy" --strict --package orchestrate
"${bin}/python" -m pytest -q -rs -p no:cacheprovider "${work}/clone/tests/python"
