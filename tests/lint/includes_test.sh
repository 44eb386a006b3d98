#!/usr/bin/env bash
#
# That includes.sh sees what it should: each bad include is put into a copy of
# the sources, and must be told.
#
# usage: tests/lint/includes_test.sh
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

mkdir -p "$scratch/tests"
cp -r "$root"/{common,formats,runtime,align,convert,uptrain,inspect,verify} "$scratch"
cp -r "$root/tests/unit" "$root/tests/cli" "$scratch/tests"
"$here/includes.sh" "$scratch"

# refused FILE INCLUDE SAYS
refused() {
    local out
    cp "$scratch/$1" "$scratch/saved"
    echo "#include $2" >>"$scratch/$1"
    if out=$("$here/includes.sh" "$scratch"); then
        echo "$1 includes $2: not told" >&2
        exit 1
    fi
    if [[ $out != *"$3"* ]]; then
        printf '%s\n' "$1 includes $2: told otherwise" "$out" >&2
        exit 1
    fi
    mv "$scratch/saved" "$scratch/$1"
}

refused common/json.c '"formats/libraries.h"' 'an arrow that runs up'
refused formats/libraries.c '"runtime/ops.h"' 'an arrow that runs up'
refused runtime/ops.h '"align/align.h"' 'an arrow that runs up'
refused convert/main.c '"verify/scan.h"' 'one tool includes another'
refused formats/libraries.c '"../runtime/ops.h"' 'not by its path from the top'
refused formats/libraries.c '"./libraries.h"' 'not by its path from the top'
refused formats/libraries.c '"formats/../runtime/ops.h"' \
    'not by its path from the top'
refused formats/libraries.c '"libraries.h"' 'no folder of the sources'
refused common/json.c '"tests/unit/suite.h"' 'no folder of the sources'
refused verify/main.c '"completions/list.h"' 'no folder of the sources'
refused common/json.c '<formats/libraries.h>' 'ours stand in quotes'
refused formats/libraries.c '<H5public.h>' 'HDF5 outside its folder'
refused formats/hdf5/reader.c '<hdf5.h>' 'HDF5 outside its folder'
refused runtime/ops.h '"formats/libraries.h"' 'needs formats/'
refused runtime/ops.h '<jansson.h>' 'needs JSON'
