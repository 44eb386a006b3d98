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

command -v jq >/dev/null || exit 77

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
mkdir bin
export PATH=$scratch/bin:$PATH

# stub FILE: as it is where the tools have been built and installed
stub() {
    cat >"$1"
    chmod +x "$1"
}
# What the README and quickstart say is what installs them.
grep -qx '\./quickstart  *# .*' "$root/README.md"
grep -q 'cmake --install build/release' "$root/README.md"
stub bin/cmake <<'END'
#!/bin/sh
[ "$*" = "--install build/release" ]
END
stub bin/sudo <<'END'
#!/bin/sh
case $* in
"cmake --install build/release" | "apt-get install -y jq") ;;
*)
    echo "sudo: not expected: $*" >&2
    exit 1
    ;;
esac
END

# clone: an empty folder like a clone of the repository
clone() {
    cd "$scratch"
    rm -rf clone
    mkdir clone
    cd clone
    ln -s "$root/tests" tests
    stub quickstart <<<'#!/bin/sh'
    export GITHUB_STEP_SUMMARY=$scratch/clone/summary
}

# section NAME: the code block of a section
section() {
    sed -n "/^## $1\$/,/^## /{/^\`\`\`/,/^\`\`\`\$/{/^\`\`\`/d; p}}" \
        "$root/docs/ci.md"
}

# The blocks under "run: |", as far as they are indented.
section 'GitHub Actions' |
    awk '/^ *run: \|$/ { inside = 1; next }
        /^      - / { inside = 0 }
        inside { sub(/^ {10}/, ""); print }' >github
# The lists under "before_script:" and "script:".
section GitLab |
    awk '/^  [a-z]/ { inside = /script:$/; next }
        inside { sub(/^    - /, ""); print }' >gitlab
section 'A shell' >shell

# try NAME REPORT...: run the commands; each report must be there then.
try() {
    local name=$1 report
    shift
    [[ -s $scratch/$name ]] || {
        echo "workflows.sh: docs/ci.md has no commands for $name" >&2
        exit 1
    }
    echo "== $name"
    cat "$scratch/$name"
    clone
    [[ $name != shell ]] || {
        ln -s tests/data/sample/t5-tiny16 original
        gqa-convert -q --groups 8 original model.gqa
    }
    # Runners stop at the first command that fails.
    bash -e "$scratch/$name" || return
    for report; do
        [[ -s $report ]]
    done
}

try github verify.json summary
grep -q '^## gqa-verify: passed' summary
try gitlab exact.xml verify.xml
try shell verify.json | tee "$scratch/out"
grep -q "not near enough" "$scratch/out"

# What fails, and what cannot be checked, becomes an annotation.
sed 's/--max-kl 30/--max-kl 1e-3/' "$scratch/github" >"$scratch/fails"
sed 's/--against original/--against missing/' "$scratch/github" >"$scratch/missing"
for name in fails missing; do
    status=0
    (try "$name") >"$scratch/said" || status=$?
    grep '^::' "$scratch/said"
    case $name in
    fails)
        ((status == 1))
        grep -q '^::error file=model.gqa,title=fidelity kl::mean ' "$scratch/said"
        grep -q '^## gqa-verify: FAILED' "$scratch/clone/summary"
        ;;
    missing)
        ((status == 2))
        grep -q '^::error file=model.gqa,title=gqa-verify::missing: ' "$scratch/said"
        grep -q '^## gqa-verify: not checked' "$scratch/clone/summary"
        ;;
    esac
done
