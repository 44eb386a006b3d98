# The two the wrong way round; and folders that hold nothing to verify.
gqa-convert -q --groups 1 "$DATA/runtime/llama" grouped/
gqa-verify --no-run --format tap --against grouped "$DATA/runtime/llama" |
    grep -A 1 '^not ok'
mkdir none
gqa-verify none
echo "none -> $?"
