# Budgets decide on fidelity, and on nothing else.
llama=$DATA/runtime/llama
gqa-convert -q --groups 3 "$llama" same.gqa
gqa-convert -q --groups 1 "$llama" grouped.gqa

# try ARGUMENT...: its exit status, and what failed
try() {
    local status=0
    gqa-verify --backend cpu --tokens "$llama/reference.safetensors" \
        --format tap --against "$llama" "$@" >out ||
        status=$?
    echo "== ${*} -> $status"
    grep -E '^not ok|^ok .* fidelity kl:' out
}

try same.gqa
try --profile strict same.gqa
try grouped.gqa
try --profile strict grouped.gqa
try --profile initialiser grouped.gqa
try --max-kl 1000 --max-kl-p99 1000 --min-top1 0 --max-ppl-increase 1e9 grouped.gqa
try --max-kl 1e-3 grouped.gqa
try --max-kl-p99 1e-3 grouped.gqa
try --min-top1 99% grouped.gqa
try --max-ppl-increase 1% grouped.gqa
try --profile strict --max-kl 1000 grouped.gqa
