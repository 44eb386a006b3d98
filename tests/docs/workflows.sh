#!/usr/bin/env bash
#
# The commands of the workflows in docs/ci.md, run on the sample: what a
# runner would hand to its shell, without the services around it.
#
# usage: workflows.sh    (GQA_BUILD: the build folder)
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$GQA_BUILD" && pwd)
export PATH=$build/convert:$build/verify:$PATH LC_ALL=C

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
ln -s "$root/tests/data/sample/t5-tiny16" original
gqa-convert -q --groups 8 original model.gqa

# section NAME: the code block of a section
section() {
    sed -n "/^## $1\$/,/^## /{/^\`\`\`/,/^\`\`\`\$/{/^\`\`\`/d; p}}" \
        "$root/docs/ci.md"
}

# The block under "run: |", as far as it is indented.
section 'GitHub Actions' | sed -n '/^ *run: |$/,/^      - /{/run: |$/d; /^      - /d; s/^ *//p}' >github
# The list under "script:".
section GitLab | sed -n '/^  script:$/,/^  [a-z]/{/^    - /s/^    - //p}' >gitlab
section 'A shell' >shell

# try NAME REPORT...: run the commands; each report must be there then.
try() {
    local name=$1 report
    shift
    [[ -s $name ]] || {
        echo "workflows.sh: docs/ci.md has no commands for $name" >&2
        exit 1
    }
    echo "== $name"
    cat "$name"
    rm -f "$@"
    # Runners stop at the first command that fails.
    bash -e "$name"
    for report; do
        [[ -s $report ]]
    done
}

try github verify.xml
try gitlab exact.xml verify.xml
try shell verify.json | tee out
grep -q 'not near enough' out
