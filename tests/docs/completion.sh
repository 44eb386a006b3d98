#!/usr/bin/env bash
#
# Completion offers what it should at a few places of a command line.
#
# usage: completion.sh    (GQA_BUILD: the build folder)
set -euo pipefail

scripts=$(cd "$GQA_BUILD/completions" && pwd)
for tool in gqa-convert gqa-inspect gqa-uptrain gqa-verify; do
    # shellcheck source=/dev/null
    source "$scripts/bash/$tool"
    # The other shells' are read, where they are there.
    if command -v zsh >/dev/null; then
        zsh -n "$scripts/zsh/_$tool"
    fi
    if command -v fish >/dev/null; then
        fish -n "$scripts/fish/$tool.fish"
    fi
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
touch model.h5 'my model.gqa'
mkdir folder

failures=0

# expect WANTED WORD...: what completes the last WORD, joined by "|"
expect() {
    local wanted=$1 got
    shift
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    case $1 in
    gqa-convert) _gqa_convert || true ;;
    gqa-inspect) _gqa_inspect || true ;;
    gqa-verify) _gqa_verify || true ;;
    esac
    got=$(printf '%s\n' "${COMPREPLY[@]-}" | sort | paste -sd '|')
    if [[ $got != "$wanted" ]]; then
        echo "completing '$*': expected '$wanted', got '$got'"
        failures=$((failures + 1))
    fi
}

expect '--groups=' gqa-convert --gr
expect 'aligned|first|mean|random' gqa-convert -m ''
expect 'aligned|first|mean|random' gqa-convert --method =
expect 'random' gqa-convert --method = r
expect 'bf16' gqa-convert -d b
expect 'decoder|decoder-cross|decoder-self' gqa-convert -a dec
expect 'encoder,decoder-cross' gqa-convert --attention = encoder,decoder-c
expect '' gqa-convert --groups = ''
expect '--dequantise|--dry-run|--dtype=' gqa-convert model.h5 --d
expect 'model.h5|my model.gqa' gqa-convert m
expect 'model.h5' gqa-convert -c mod
expect '--recipe' gqa-inspect --r
expect '' gqa-inspect --batch = ''
expect 'model.h5' gqa-verify --against = mod
expect 'tap|text' gqa-verify --format = t
expect '--against=' gqa-verify --ag
expect 'cpu|cuda' gqa-verify --backend = c
expect 'strict' gqa-verify --profile = s
expect 'folder' gqa-inspect --kv-cache f
expect 'model.h5|my model.gqa' gqa-convert -- m
expect '' gqa-convert -- --gr
expect '' gqa-convert -- -m --gr

# fish can be asked what it would offer.
if command -v fish >/dev/null; then
    offers() {
        fish -N -c "source '$scripts/fish/gqa-convert.fish'
            complete -C '$1'" | cut -f 1 | sort | paste -sd '|'
    }
    [[ $(offers 'gqa-convert -m ') == 'aligned|first|mean|random' ]] ||
        failures=$((failures + 1))
    [[ $(offers 'gqa-convert --attention encoder,decoder-c') == \
        'encoder,decoder-cross' ]] || failures=$((failures + 1))
fi
exit "$failures"
