#!/usr/bin/env bash
#
# gqa-convert against cp of the same bytes and against what people write
# today, in one run: wall time, processor time and peak memory.
#
# Usage: convert.sh BUILD FOLDER [GB]
#
# BUILD is a build folder of the release preset; FOLDER gets the checkpoints
# (twice GB, and room for one output more) and keeps them for the next run.
# RUNS (3), THREADS (processors). Peers run where PYTHON has their packages:
# numpy (h5py for HDF5), torch and safetensors. Every command starts from a
# warm page cache and writes a new file.
set -euo pipefail

build=$(realpath "$1") folder=$2 gb=${3:-8}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3} runs=${RUNS:-3} threads=${THREADS:-$(nproc)}
convert=("$build/convert/gqa-convert" -q -t "$threads" -g 8)

mkdir -p "$folder"
cd "$folder"
[ -e st/model.safetensors ] || "$python" "$here/make_checkpoint.py" "$gb" st
for kind in torch gguf; do
    [ -e "$kind" ] || "$python" "$here/make_checkpoint.py" "$gb" "$kind" \
        "--$kind" || rm -rf "$kind"
done
[ -e h5/model.h5 ] || "$python" "$here/make_checkpoint.py" "$gb" h5 --hdf5 ||
    rm -rf h5

# measure LABEL INPUT COMMAND...: best of the runs, as "wall cpu MiB label"
measure() {
    local label=$1 input=$2 run
    shift 2
    for ((run = 0; run < runs; run++)); do
        rm -rf out.*
        cat "$input" >/dev/null
        command time -f '%e %U %S %M' -o time.txt "$@"
        cat time.txt
    done | sort -n | head -1 |
        awk -v label="$label" -v bytes="$(stat -c %s "$input")" '
            { printf "%-34s %7.2f s  %6.2f GB/s  %6.2f s of cpu  %5d MiB\n",
                     label, $1, bytes / $1 / 1e9, $2 + $3, $4 / 1024 }'
    rm -rf out.* time.txt
}

st=st/model.safetensors h5=h5/model.h5
echo "$(stat -c %s "$st") bytes, best of $runs, $threads threads"
measure "cp" "$st" cp "$st" out.cp
measure "cp, then sync of the file" "$st" sh -c "cp $st out.cp; sync out.cp"
measure "safetensors to .safetensors" "$st" "${convert[@]}" st out.safetensors
measure "safetensors to folder" "$st" "${convert[@]}" st out.folder/
measure "safetensors to .gqa --store" "$st" "${convert[@]}" st out.gqa --store
measure "safetensors to .gqa" "$st" "${convert[@]}" st out.gqa
for kind in torch gguf; do
    if [ -e "$kind" ]; then
        file=$(echo "$kind"/*model*.*)
        measure "$kind to .safetensors" "$file" \
            "${convert[@]}" "$file" out.safetensors
    fi
done
if [ -e "$h5" ]; then
    measure "HDF5 to .safetensors" "$h5" "${convert[@]}" h5 out.safetensors
    measure "HDF5 to .gqa" "$h5" "${convert[@]}" h5 out.gqa
fi
if "$python" -c 'import numpy' 2>/dev/null; then
    measure "numpy, safetensors" "$st" \
        "$python" "$here/peer_numpy.py" "$st" out.safetensors 8 32
fi
if [ -e "$h5" ] && "$python" -c 'import h5py' 2>/dev/null; then
    measure "numpy and h5py, HDF5" "$h5" \
        "$python" "$here/peer_numpy.py" "$h5" out.safetensors 8 32
fi
if "$python" -c 'import torch, safetensors' 2>/dev/null; then
    measure "torch and safetensors" "$st" \
        "$python" "$here/peer_torch.py" "$st" out.safetensors 8 32
fi
