#!/usr/bin/env bash
# The first ten minutes of a newcomer with a folder of images: a study of it, and every number found again.
#
#     tests/newcomer/run.sh VENV        # an environment with the wheel, as tests/python/run.sh VENV leaves it
#
# Stops at the first command that fails, or whose output lacks what a newcomer is promised.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

bin="$(cd "${1:?an environment}" && pwd)/bin"
if ! [ -x "${bin}/orchestrate" ]; then
  echo "skipped: ${bin} has no wheel"
  exit 0
fi
unset PYTHONPATH ORCHESTRATE ORCHESTRATE_STORE
export NO_COLOR=1 PATH="${bin}:${PATH}"

work="$(mktemp -d)"
trap 'rm -rf "${work}"' EXIT
trap 'echo "FAILED after: ${shown}" >&2; cat "${work}/said" >&2' ERR
shown="the start"

# Runs a command as it would be typed, and shows its first lines.
say() {
  shown="$*"
  printf '\n$ %s\n' "$*"
  "$@" >"${work}/said" 2>&1
  head -12 "${work}/said"
}

# Requires a text in the output of the last command.
expect() {
  shown="${shown}, without \"$1\""
  grep -qF -- "$1" "${work}/said"
}

python tests/newcomer/scans.py "${work}/scans"
cd "${work}"
say orchestrate new --data scans study
expect "24 images"
expect "12 patients"
cd study
test -f orchestrate.toml -a -f .gitignore
spec="$(ls ./*.toml | grep -v orchestrate.toml)"

say orchestrate plan "${spec}"
say orchestrate run "${spec}"
expect " ran in "
say orchestrate run "${spec}"
expect " hit in "
say orchestrate run "${spec}" --set stages.train.epochs=2

say orchestrate runs
expect "epochs=2"
say orchestrate diff -- -2 -1
expect "epochs"
say orchestrate show latest
say orchestrate path "${spec}" train
test -d "$(head -1 "${work}/said")"
say orchestrate graph "${spec}" --to graph.svg
grep -q "<svg" graph.svg
say orchestrate schema
python -c 'import json, sys; assert "properties" in json.load(open(sys.argv[1]))' "${work}/said"
say orchestrate kinds train
expect "epochs"
say orchestrate report "${spec}"
printf '\nall is well\n'
