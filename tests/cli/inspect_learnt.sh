# Heads by what the model makes of tokens; figures follow the processor's
# arithmetic, and are tested elsewhere.
model=$DATA/sample/t5-tiny16
run=(--calibrate self --samples 4 --length 32 --backend cpu)
gqa-inspect --similarity --budget 30% "${run[@]}" "$model" |
    grep -E 'tokens|Each|makes|K cos'
gqa-inspect --json --plan "${run[@]}" -t 3 "$model" >three
gqa-inspect --json --plan "${run[@]}" -t 1 "$model" >one
cmp one three && echo "the same for any number of threads"
grep -E '"(from|n_tokens)"' one
grep -cE '"influence": 0\.' one

try() {
    gqa-inspect "$@" "$model"
    echo "exit status $?"
}
try --calibrate self
try --plan --samples 3
try --plan --calibrate none --backend cpu
try --plan --text nowhere
try --plan --text "$0" --calibrate self
