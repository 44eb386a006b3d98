# Budgets decide on fidelity, and on nothing else.
sample=$DATA/sample/t5-tiny16/tf_model.h5
gqa-convert -q --groups 16 "$sample" same.gqa
gqa-convert -q --groups 8 "$sample" grouped.gqa

# try ARGUMENT...: its exit status, and what failed
try() {
    local status=0
    gqa-verify --backend cpu --samples 2 --length 40 --format tap \
        --against "$sample" "$@" >out ||
        status=$?
    echo "== ${*} -> $status"
    grep -E '^not ok|^ok .* fidelity kl:' out | sed -E 's/[0-9.]+(e-?[0-9]+)?/N/g'
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
