#!/usr/bin/env bash
#
# Functions of libraries that only one place may call, since it guards them:
# jansson's readers write behind their buffer where memory runs short, but in
# common/json.c.
#
# usage: tests/lint/calls.sh [FOLDER]   of the sources; "." if not given
set -euo pipefail
cd "${1-.}"

if grep -rnE '\bjson_(loads|loadb|loadf|loadfd|load_file|load_callback)\(' \
    --include='*.[ch]' --include='*.inl' \
    common formats runtime align convert uptrain inspect verify |
    grep -v '^common/json\.c:'; then
    echo "calls.sh: read JSON by common/json.h" >&2
    exit 1
fi
