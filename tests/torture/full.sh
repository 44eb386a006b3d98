#!/usr/bin/env bash
#
# A disk that is full: the tools write to small file systems of every size, from
# one with room for nothing to one with room for all. What they write is whole
# or not there, what was there stays, and they say that space is lacking.
#
# usage: tests/torture/full.sh
#
#   GQA_BUILD   environment: the build folder (default: build/release)
#
# The file systems are tmpfs in a name space of our own, which needs no root;
# ends with 77 where the system does not allow that.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${GQA_BUILD:-$root/build/release}" && pwd)
export PATH=$build/convert:$build/inspect:$build/uptrain:$build/verify:$PATH
export LC_ALL=C OPENBLAS_NUM_THREADS=1

if [[ ${1-} != --inside ]]; then
    try=$(mktemp -d)
    unshare --user --map-root-user --mount \
        mount -t tmpfs none "$try" 2>/dev/null || status=77
    rmdir "$try"
    ((${status-0} == 0)) || exit "$status"
    exec unshare --user --map-root-user --mount bash "$0" --inside
fi

scratch=$(mktemp -d)
cleanup() {
    cd /
    umount -q "$scratch/disk" || true
    rm -rf "$scratch"
}
trap cleanup EXIT
cd "$scratch"
mkdir disk whole older
llama=$root/tests/data/runtime/llama
gqa-convert -q -g 1 "$llama" model.gqa
gqa-convert -q -g 1 --expand "$llama" older/model/

failures=0
tries=0
fail() {
    echo "$*"
    failures=$((failures + 1))
}

# on_disk KIB SEED: a file system of that size, with a copy of SEED in it
on_disk() {
    mount -t tmpfs -o "size=${1}K" none disk
    cp -a "$2/." disk/ 2>/dev/null
}

# fill NAME SEED STEP COMMAND [ARGUMENT]...: which writes to disk/
fill() {
    local name=$1 seed=$2 step=$3 kib=4 status
    shift 3
    rm -rf whole
    cp -a "$seed" whole
    (mv disk empty && mv whole disk && "$@" >/dev/null &&
        mv disk whole && mv empty disk)
    while :; do
        status=0
        if on_disk "$kib" "$seed"; then
            tries=$((tries + 1))
            "$@" >out 2>err || status=$?
            if ((status == 0)); then
                diff -r whole disk >diff.txt ||
                    fail "$name, $kib KiB: says nothing, and differs"
            else
                ((status == 2)) || fail "$name, $kib KiB: ends with $status"
                grep -qE 'o space left|are free there' err ||
                    fail "$name, $kib KiB: $(cat err)"
                diff -r "$seed" disk >diff.txt ||
                    fail "$name, $kib KiB: $(cat diff.txt)"
            fi
        else
            status=2
        fi
        umount disk
        ((status != 0)) || break
        kib=$((kib + step))
    done
}

mkdir none
convert=(gqa-convert --threads 1 -g 1)
fill gqa none 4 "${convert[@]}" "$llama" disk/model.gqa
fill safetensors none 4 "${convert[@]}" "$llama" disk/model.safetensors
fill folder none 4 "${convert[@]}" "$llama" disk/model/
fill force-folder older 4 "${convert[@]}" --force "$llama" disk/model/
fill dump none 4 gqa-verify --threads 1 --backend cpu --samples 1 --length 4 \
    --against "$llama" --dump-logits disk/logits.safetensors model.gqa
fill uptrain none 4 gqa-uptrain --threads 1 --backend cpu --steps 2 --batch 1 \
    --length 4 --samples 2 --eval-sequences 1 --rate 1e-3 --teacher "$llama" \
    model.gqa disk/healed.gqa
fill uptrain-groups none 4 gqa-uptrain --threads 1 --backend cpu --steps 2 \
    --batch 1 --length 4 --samples 2 --eval-sequences 1 --rate 1e-3 \
    --teacher "$llama" --groups 1 --method mean disk/healed/

echo "$tries tries, $failures went wrong"
((failures == 0))
