#!/usr/bin/env bash
#
# What is installed below another root and prefix is whole: tools that run,
# pages, completions, the licence, and documents whose links lead somewhere.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
DESTDIR=$scratch cmake --install "$GQA_BUILD" --prefix /opt/tools >/dev/null
cd "$scratch/opt/tools"

failures=0

fail() {
    echo "$1"
    failures=$((failures + 1))
}

for tool in gqa-convert gqa-inspect gqa-uptrain gqa-verify; do
    "bin/$tool" --version >/dev/null || fail "$tool does not run"
    [[ -s share/man/man1/$tool.1 ]] || fail "$tool has no page"
    [[ -s share/bash-completion/completions/$tool ]] ||
        fail "$tool has no completion for bash"
    [[ -s share/zsh/site-functions/_$tool ]] ||
        fail "$tool has no completion for zsh"
    [[ -s share/fish/vendor_completions.d/$tool.fish ]] ||
        fail "$tool has no completion for fish"
done
[[ -s share/man/man5/gqa.5 && -s share/man/man7/gqa.7 ]] ||
    fail "gqa(5) or gqa(7) is missing"

cd share/doc/gqa-tools
[[ -s LICENSE ]] || fail "no licence"
while IFS=: read -r file link; do
    link=${link#](}
    link=${link%%[)#]*}
    [[ -z $link || $link == http* || -e $(dirname "$file")/$link ]] ||
        fail "$file: $link is not there"
done < <(grep -roE '\]\([^)]*\)' --include=*.md .)
exit $((failures > 0))
