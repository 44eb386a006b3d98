# Weights that were never written are no content; of the original it is said.
gqa-verify "$DATA/good/flat-late" | grep -A 3 content
gqa-convert -q -g 1 "$DATA/good/flat-late" out.safetensors
gqa-verify --no-run --against "$DATA/good/flat-late" out.safetensors | tail -n 1
