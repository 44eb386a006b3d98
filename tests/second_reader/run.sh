#!/usr/bin/env bash
#
# The second reader on the .gqa file of every fixture, and on damaged ones.
#
# usage: tests/second_reader/run.sh
#
#   GQA_BUILD   environment: the build folder (default: build/dev)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$(cd "${GQA_BUILD:-$root/build/dev}" && pwd)

if ! command -v python3 >/dev/null; then
    echo "no python3: skipped" >&2
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -B "$here/check.py" "$build/convert/gqa-convert" \
    "$root/tests/data" "$scratch"
