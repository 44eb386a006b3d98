#!/usr/bin/env bash
#
# The options that a tool's help, its page and its completion name are the
# same, with the same arguments.
#
# usage: options.sh TOOL    (GQA_BUILD: the build folder)
set -euo pipefail

tool=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
PATH=$GQA_BUILD/convert:$GQA_BUILD/inspect:$GQA_BUILD/uptrain:$GQA_BUILD/verify:$PATH
command -v mandoc >/dev/null || exit 77

option='((-[A-Za-z], )?--[a-z0-9-]+(=[^ ]+)?)'

help=$("$tool" --help | sed -nE "s/^ +$option( .*)?$/\1/p" | sort)
page=$(mandoc -T ascii "$root/man/$tool.1" | sed 's/.\x08//g' |
    sed -nE "s/^ {5}$option$/\1/p" | sort)
[[ $help ]] || {
    echo "options.sh: $tool --help names no options" >&2
    exit 1
}
diff -u --label "$tool --help" --label "man/$tool.1" \
    <(printf '%s\n' "$help") <(printf '%s\n' "$page")

# Completion gives names alone, and "=" where an argument follows.
diff -u --label "$tool --help" --label "$tool's bash completion" \
    <(sed -E 's/, /\n/; s/=.*/=/' <<<"$help" | sort) \
    <(sed -n "/local options='/,/'$/p" "$GQA_BUILD/completions/bash/$tool" |
        grep -oE -- '-[-A-Za-z0-9]+=?' | sort)
diff -u --label "$tool --help" --label "$tool's fish completion" \
    <(sed -E 's/^(-., )?//; s/=.*//' <<<"$help" | sort) \
    <(sed -nE 's/^complete -c [^ ]+ -l ([^ ]+).*/--\1/p' \
        "$GQA_BUILD/completions/fish/$tool.fish" | sort)
diff -u --label "$tool --help" --label "$tool's zsh completion" \
    <(sed -E 's/^(-., )?//; s/=.*/=/' <<<"$help" | sort) \
    <(sed -E "s/^ +//; s/^'[^']*'//; s/^\\\\\*//; s/^\{-.\+?,//" \
        "$GQA_BUILD/completions/zsh/_$tool" |
        sed -nE 's/^(--[a-z0-9-]+=?).*/\1/p' | sort)
