# Transforms alone change nothing, but for pairs of RoPE that are freed, whose
# cost is told apart. What was rounded on its way has no limit.
convert() {
    gqa-convert -q -f -m aligned --no-pooling --samples 8 --length 16 "$@"
}
function_of() {
    gqa-verify --samples 4 --length 16 --format tap "$@" >report.tap
    local status=$?
    sed -n '/fidelity \(freed-pairs\|same-function\)/{s/-nan/nan/;s/L2 of logits [0-9.]*e-1[2-9]/L2 of logits tiny/;s/: KL.*/: told/;p;}' \
        report.tap
    echo "exit $status"
}
for model in llama mistral gpt2 gpt_neox t5-repeated; do
    echo "== $model"
    convert --dtype f64 --no-free-pairs "$DATA/runtime/$model" out.gqa
    function_of --dtype f64 --against "$DATA/runtime/$model" out.gqa
done

echo "== pairs freed"
model=$DATA/runtime/llama
convert --dtype f64 "$model" out.gqa
function_of --dtype f64 --against "$model" out.gqa
function_of --against "$model" out.gqa | sed 's/L2 of logits [^ ]*/L2 of logits small/'

echo "== through another conversion, expanded"
convert --dtype f64 --no-free-pairs "$DATA/runtime/mistral" out.gqa
gqa-convert -q --groups 3 --expand out.gqa expanded.gqa
function_of --dtype f64 --against "$DATA/runtime/mistral" expanded.gqa

echo "== rounded to float32 on its way"
convert --no-free-pairs "$DATA/runtime/mistral" out.gqa
gqa-convert -q --groups 3 --dtype f64 out.gqa wide.gqa
function_of --dtype f64 --against "$DATA/runtime/mistral" wide.gqa |
    sed 's/L2 of logits [^ ]*/L2 of logits small/'

echo "== what shares is none of it"
gqa-convert -q -f -m aligned --calibrate none --groups 1 "$model" out.gqa
function_of --against "$model" out.gqa
