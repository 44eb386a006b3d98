# How fast it will be is said before it is begun: by a dry run, as JSON, and where
# somebody wants to know; not of a run that makes no step, nor unasked.
gqa-convert -q --groups 1 "$DATA/runtime/llama" model.gqa
train() {
    gqa-uptrain --steps 2 --batch 1 --length 8 --eval-sequences 1 --rate 1e-3 --force \
        --write-start --teacher "$DATA/runtime/llama" "$@" model.gqa out.gqa
}
digits() {
    sed -E 's/[0-9.]+ tokens/N tokens/; s/[0-9.]+ (s|min|h) for/N s for/; s/(_s|_seconds)": [0-9.e+-]+/\1": N/'
}
train --dry-run | grep -e tokens/s | digits
train --dry-run --json | grep estimated | digits
train --json | grep estimated | digits
train --verbose 2>&1 | grep 'will train' | digits
train 2>&1 | grep -c 'will train'
train --dry-run --layerwise --steps 0 | grep -c tokens/s
