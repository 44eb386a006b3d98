#!/usr/bin/env bash
#
# A run of gqa-uptrain that is killed at any moment loses the steps since its
# last state and nothing else: killed again and again at random moments, it ends
# in the bytes of one that never was, and leaves no more than these.
#
# usage: tests/torture/kill.sh [ROUNDS]
#
#   ROUNDS      runs to the end, 5 by default; each takes some seconds
#   GQA_BUILD   environment: the build folder (default: build/release)
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${GQA_BUILD:-$root/build/release}" && pwd)
export PATH=$build/convert:$build/uptrain:$PATH
export LC_ALL=C

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
sample=$root/tests/data/sample/t5-tiny16/tf_model.h5
train=(gqa-uptrain -q --steps 60 --batch 4 --length 32 --eval-sequences 4
    --eval-every 10 --rate 1e-3 --samples 16 --teacher "$sample" --groups 4
    --method mean)
"${train[@]}" whole.gqa

# That the state is of; the header has it in a text.
steps_of() {
    grep -aoE 'history\\":\{\\"steps\\":[0-9]+' state/uptrain-state.safetensors |
        grep -oE '[0-9]+$'
}
failures=0
kills=0
for ((round = 0; round < ${1-5}; round++)); do
    rm -rf state out.gqa
    before=0
    while :; do
        status=0
        {
            timeout -s KILL "$((RANDOM % 3)).$((RANDOM % 10))" \
                "${train[@]}" --checkpoint state --every 3 out.gqa || status=$?
        } 2>/dev/null
        ((status != 0)) || break
        kills=$((kills + 1))
        now=0
        [[ ! -e state/uptrain-state.safetensors ]] || now=$(steps_of)
        ((now >= before)) || failures=$((failures + 1))
        before=$now
    done
    cmp whole.gqa out.gqa || failures=$((failures + 1))
    [[ $(ls -A) == $'out.gqa\nstate\nwhole.gqa' ]] || {
        ls -A
        failures=$((failures + 1))
    }
done
echo "$kills kills, $failures went wrong"
((failures == 0))
