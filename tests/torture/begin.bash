# What both campaigns begin with; sourced, with $tries set to their default.
# shellcheck shell=bash

script=$(basename "$0")
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${GQA_BUILD:-$root/build/release}" && pwd)
torture=$build/tests/torture
data=$root/tests/data

export PATH=$build/convert:$build/inspect:$build/uptrain:$build/verify:$PATH
export LC_ALL=C
# Its own threads are not wanted, and allocate in an order of their own.
export OPENBLAS_NUM_THREADS=1

while [[ ${1-} == --* ]]; do
    case $1 in
    --all) tries=0 ;;
    --tries)
        tries=$2
        shift
        ;;
    *)
        echo "$script: unknown option $1" >&2
        exit 2
        ;;
    esac
    shift
done
wanted=" $* "

# In memory, where there is such a folder: each run waits for the device.
scratch=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
mkdir out

ran=0
failed=0

# is_wanted NAME: whether that run, or all of the part before the "-", is
is_wanted() {
    [[ $wanted == '  ' || $wanted == *" $1 "* || $wanted == *" ${1%%-*} "* ]]
}
