# Grouped again, an expanded checkpoint gives what was expanded.
gqa-convert -q -g 4 "$DATA/sample/t5-tiny16" grouped
gqa-convert -q -g 4 --expand "$DATA/sample/t5-tiny16" expanded
gqa-convert -q -g 4 expanded again
cmp grouped/model.safetensors again/model.safetensors
gqa-inspect expanded
