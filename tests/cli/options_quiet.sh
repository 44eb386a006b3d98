# -q prints no text but errors; JSON and TAP that are asked for are printed.
cp "$DATA/good/gpt_neox/model.safetensors" plain.safetensors

gqa-convert -q --groups 2 --n-heads 4 plain.safetensors a.gqa
gqa-inspect -q a.gqa
gqa-verify -q a.gqa
gqa-inspect -q plain.safetensors
echo "exit $?"
gqa-convert -qj --groups 2 --n-heads 4 --dry-run plain.safetensors b.gqa | head -2
gqa-inspect -qj a.gqa | head -2
gqa-verify -qj a.gqa | head -2
gqa-verify -q --format tap a.gqa | head -1
