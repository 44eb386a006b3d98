#!/usr/bin/env bash
#
# clang-tidy, one file after another on each processor: its analyser mixes up
# files that it is given together.
#
# usage: tests/lint/tidy.sh CLANG-TIDY BUILD FILE...
#
#   BUILD   a build folder with compile_commands.json
set -euo pipefail

tidy=$1
build=$2
shift 2
printf '%s\0' "$@" |
    xargs -0 -n 1 -P "$(nproc)" "$tidy" -p "$build" --quiet \
        --extra-arg=-Wno-unknown-warning-option
