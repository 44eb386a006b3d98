# Too little address space for OpenBLAS, which would try for ever; what needs
# none of it runs all the same.
(ulimit -v 65536 && gqa-inspect --version) >out 2>&1 || exit 77 # sanitizers
llama=$DATA/runtime/llama
gqa-convert -q --groups 1 "$llama" model.gqa

# limited KIB ARGUMENT...
limited() {
    local status=0
    (
        ulimit -v "$1"
        shift
        exec timeout -s KILL 20 gqa-verify "$@"
    ) >out 2>err || status=$?
    shift
    echo "== $* -> $status"
    sed -E 's/[0-9]+ (MiB|for)/N \1/g' err
    grep -E '^exact' out
}

export OPENBLAS_NUM_THREADS=2
limited 150000 --version
limited 150000 model.gqa
limited 250000 --no-run --against "$llama" model.gqa
limited 250000 --backend cpu --threads 1 --against "$llama" model.gqa
limited 600000 --backend cpu --threads 2 --against "$llama" model.gqa
# Beside the thread that reads there are those that align.
for kib in 250000 420000; do
    (
        ulimit -v $kib
        timeout -s KILL 20 gqa-convert --method=aligned --calibrate=none -g 1 \
            --threads 1 "$llama" aligned.gqa
    ) 2>err || echo "== gqa-convert --method=aligned -> $?"
    sed -E 's/[0-9]+ (MiB|for)/N \1/g' err
done
export OPENBLAS_NUM_THREADS=1
limited 300000 --backend cpu --threads 1 --against "$llama" model.gqa
