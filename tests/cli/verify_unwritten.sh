# Weights that were never written are no content; of the original it is said.
gqa-verify "$DATA/good/flat-late" | grep -A 2 content
gqa-convert -q -g 1 "$DATA/good/flat-late" out.safetensors
gqa-verify --no-run --against "$DATA/good/flat-late" out.safetensors |
    grep ^exact
