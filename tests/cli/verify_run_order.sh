# One layer's weights at a time: the same verdicts, and the same figures on
# tokens that are given.
llama=$DATA/runtime/llama
t5=$DATA/runtime/t5-v1_1
gqa-convert -q --groups 1 "$llama" llama.gqa
gqa-convert -q --groups 2 "$t5" t5.gqa

try() {
    local status=0
    gqa-verify --backend cpu --format tap --max-kl 1e9 --against "$@" >out ||
        status=$?
    echo "== ${*##*/} -> $status"
    grep -E '^not ok|^ok .* (runtime|fidelity)|^# (order|data)' out |
        sed -E 's/ (runtime [^:]*): .*/ \1/'
}

for order in token layer; do
    try "$llama" --tokens "$llama/reference.safetensors" --order $order llama.gqa
    try "$t5" --tokens "$t5/reference.safetensors" --order $order t5.gqa
done
try "$llama" --samples 2 --length 9 --generate 2 --order layer llama.gqa
