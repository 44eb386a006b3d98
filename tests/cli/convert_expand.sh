# Grouped again, an expanded checkpoint gives what was expanded.
gqa-convert -q -g 4 "$DATA/sample/t5-tiny16" grouped/
gqa-convert -q -g 4 --expand "$DATA/sample/t5-tiny16" expanded/
gqa-convert -q -g 4 expanded again/
cmp <(tail -c 3155968 grouped/model.safetensors) \
    <(tail -c 3155968 again/model.safetensors)
gqa-inspect expanded
