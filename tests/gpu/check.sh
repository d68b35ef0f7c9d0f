#!/usr/bin/env bash
# Checks a graphics card in under eight minutes: `tests/gpu/check.sh PROGRAM [DEVICE]`. See check.py for the options.
#
# The program needs GPU support (`cargo build --release --features cuda` or `wgpu`), and may be packed by xz. Needs
# Python 3.9; PyTorch, if it is there, is measured beside. The table is printed, and is left as JSON after each part in
# `gpu-check/check.json`, so that nothing is lost if time runs out. A rehearsal without a card, on a driver in software:
# `tests/gpu/check.sh target/gpu/orchestrate wgpu:0 --rehearsal`.
set -Eeuo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
program="${1:?the program to check}"
shift
case "${program}" in
  *.xz)
    unpacked="${TMPDIR:-/tmp}/orchestrate-gpu-check"
    xz --decompress --stdout "${program}" >"${unpacked}"
    chmod +x "${unpacked}"
    program="${unpacked}"
    ;;
esac
exec "${PYTHON:-python3}" "${here}/check.py" "${program}" "$@"
