# A GPU that is not there, that has no room, and that is lost: before the
# run, while weights go to it, in the middle. The CPU stands in only where
# there is none; nothing half-written is left.
llama=$DATA/runtime/llama
gqa-convert -q --groups 1 "$llama" model.gqa
export GQA_CUDA_PLUGIN=$GQA_PLUGINS/hollow_plugin.so

try() {
    local status=0
    HOLLOW_FAILS=$1
    export HOLLOW_FAILS
    shift
    gqa-verify --samples 2 --length 8 --report report.json \
        --dump-logits logits.safetensors --against "$llama" "$@" model.gqa \
        >out 2>err || status=$?
    echo "== $HOLLOW_FAILS $* -> $status"
    cat err
    sed -E -f "$CLI/join.sed" out | sed -E -f "$CLI/rounding.sed" |
        grep -E '^exact|device-float64'
    if [[ -e report.json ]]; then
        grep -o -E '"(backend|device|software|reference)": "(cpu|cuda|hollow|driver)?' report.json
        rm -f report.json logits.safetensors
    fi
    ls -A
}

for point in none open alloc upload 3 9; do
    try $point --backend cuda
    try $point
done
# It answers, but with zeros only.
try never --backend cuda
