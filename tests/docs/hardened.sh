#!/usr/bin/env bash
#
# What is installed was built as SECURITY.md says: stack protector and stack
# clash protection, _FORTIFY_SOURCE, read-only relocations, code at no fixed
# address, no code on the stack, and marks for indirect jumps.
set -euo pipefail

type readelf objdump >/dev/null 2>&1 || exit 77
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
DESTDIR=$scratch cmake --install "$GQA_BUILD" --prefix /opt/tools >/dev/null
shopt -s nullglob

failures=0

# look FILE WHAT FOUND PATTERN: a line of FOUND matches
look() {
    grep -qE -- "$4" "$3" && return
    echo "$(basename "$1"): $2"
    failures=$((failures + 1))
}

tools=("$scratch"/opt/tools/bin/gqa-{convert,inspect,verify})
for file in "${tools[@]}" "$scratch"/opt/tools/lib*/gqa-tools/*.so; do
    readelf --wide --file-header --program-headers --dynamic --dyn-syms \
        "$file" >"$scratch/elf"
    look "$file" "some addresses are fixed" "$scratch/elf" 'Type: +DYN'
    look "$file" "no RELRO" "$scratch/elf" '^ +GNU_RELRO'
    look "$file" "not all of RELRO" "$scratch/elf" '\(FLAGS_1\).*\bNOW\b'
    look "$file" "code may lie on its stack" "$scratch/elf" \
        '^ +GNU_STACK.* RW +0x'
    look "$file" "no stack protector" "$scratch/elf" ' __stack_chk_fail\b'
done

# The plug-in is another compiler's; what follows is for the tools.
for file in "${tools[@]}"; do
    readelf --wide --dynamic --dyn-syms "$file" >"$scratch/elf"
    look "$file" "not built with -pie" "$scratch/elf" '\(FLAGS_1\).*\bPIE\b'
    look "$file" "no _FORTIFY_SOURCE" "$scratch/elf" ' __(vs|s)n?printf_chk\b'
    [[ $(uname -m) == x86_64 ]] || continue
    objdump --disassemble --no-show-raw-insn "$file" >"$scratch/code"
    look "$file" "large frames skip pages" "$scratch/code" \
        '\bsub +[$]0x1000,%rsp'
    grep -A 1 '^[0-9a-f]* <main>:' "$scratch/code" >"$scratch/main" || continue
    look "$file" "no marks for indirect jumps" "$scratch/main" '\bendbr64\b'
done
exit $((failures > 0))
