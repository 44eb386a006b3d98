# What cannot be compared, or shared as asked for.
try() {
    gqa-inspect "$@"
    echo "exit status $?"
}
try --groups 2 "$DATA/runtime/llama"
try --similarity "$DATA/good/unknown-family"
try --plan "$DATA/families/qwen3"
try --budget 1% "$DATA/runtime/llama"
try --budget 200% "$DATA/runtime/llama"
try --groups 0 "$DATA/runtime/llama"
