#!/usr/bin/env bash
#
# The same training on one GPU and on several: tokens a second, and whether the
# losses are equal within rounding. Exit status: 0; 1: they are not, or several
# are not FASTER times as quick; 2 trouble.
#
# usage: TEACHER=MODEL [NAME=VALUE]... tests/gpu/uptrain_ranks.sh
#
#   TEACHER    the original
#   STUDENT    what gqa-convert made of it (default: --groups 4)
#   DATA       as --data takes it; of files each run sees the same tokens,
#              while what is drawn may differ in a bit of a logit (default:
#              self)
#   GPUS       how many (default: 2)
#   OPTIONS    others of gqa-uptrain (default: "--steps 60 --batch 16 --length
#              1024 --dtype f32")
#   RATE       a rate at which losses fall smoothly (default: 1e-4)
#   TOLERANCE  of losses, relative, over the first COMPARED steps (defaults:
#              1e-3, 20): rounding grows from step to step
#   FASTER     least ratio of tokens a second (default: 1.8)
#   LAUNCH     starts GPUS processes in place of --gpus, such as "mpirun -np 2"
#   BIN        folder of gqa-uptrain and gqa-convert (default: that of PATH)
set -euo pipefail

export LC_ALL=C
[[ -z ${BIN-} ]] || export PATH=$BIN:$PATH
teacher=${TEACHER?is to name a model}
gpus=${GPUS-2}
read -ra options <<<"${OPTIONS---steps 60 --batch 16 --length 1024 --dtype f32}"
read -ra several <<<"${LAUNCH-}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
student=${STUDENT-$scratch/student.gqa}
[[ -n ${STUDENT-} ]] || gqa-convert -q --groups 4 "$teacher" "$student"

# train NAME COMMAND...: its log in NAME.log.
train() {
    local name=$1 start=$SECONDS status=0

    shift
    "$@" -q --backend cuda --data "${DATA-self}" --rate "${RATE-1e-4}" \
        "${options[@]}" --eval-sequences 16 --write-start \
        --log "$scratch/$name.log" --teacher "$teacher" "$student" \
        "$scratch/$name.gqa" || status=$?
    ((status < 2)) || exit 2
    echo "$name: $((SECONDS - start)) s, $(speed "$name") tokens/s in steps"
}

# Tokens a second by the median step, the first ones left out.
speed() {
    sed -n 's/^{"step":.*"tokens":\([0-9]*\).*"seconds":\([-+.e0-9]*\).*/\1 \2/p' \
        "$scratch/$1.log" | tail -n +6 | awk '{ print $1 / $2 }' | sort -g |
        awk '{ x[NR] = $1 } END { printf "%.0f\n", x[int((NR + 1) / 2)] }'
}

losses() {
    sed -n 's/^{"step":.*"loss":\([-+.e0-9]*\).*/\1/p' "$scratch/$1.log"
}

# The second run of one finds libraries and files in memory, as the next does.
train warm gqa-uptrain
train one gqa-uptrain
if ((${#several[@]} > 0)); then
    train several "${several[@]}" gqa-uptrain
else
    train several gqa-uptrain --gpus "$gpus"
fi
grep -h '^{"measured"' "$scratch"/{one,several}.log
paste <(losses one) <(losses several) >"$scratch/both"
awk -v tolerance="${TOLERANCE-1e-3}" -v compared="${COMPARED-20}" \
    -v one="$(speed one)" -v several="$(speed several)" \
    -v faster="${FASTER-1.8}" '
    {
        off = ($1 - $2) / $1
        off = off < 0 ? -off : off
        if (NR <= compared && off > worst)
            worst = off
        if (off > all)
            all = off
    }
    END {
        printf "losses: off by %.2g in %d steps, by %.2g in all %d\n", worst,
            compared, all, NR
        printf "tokens/s: %.2f times\n", several / one
        exit NR == 0 || !(worst <= tolerance) || several < faster * one
    }' "$scratch/both"
