# What cannot be compared, or shared as asked for.
try() {
    gqa-inspect "$@"
    echo "exit status $?"
}
try --groups 5 "$DATA/good/llama"
try --similarity "$DATA/good/unknown-family"
try --plan --family "$DATA/families/qwen3.json" "$DATA/families/qwen3"
try --budget 1% "$DATA/good/llama"
try --budget 200% "$DATA/good/llama"
try --groups 0 "$DATA/good/llama"
