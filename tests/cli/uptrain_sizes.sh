# More positions than a model has, and more than any machine holds
for name in llama gpt2 llama-linear llama-yarn; do
    gqa-convert -q -g 1 "$DATA/runtime/$name" "$name.gqa"
done
try() {
    local name=$1
    shift
    echo "== $name $*"
    gqa-uptrain --steps 1 --batch 1 --eval-sequences 1 --rate 1e-3 --force \
        --teacher "$DATA/runtime/$name" "$@" "$name.gqa" out.gqa 2>&1 >summary |
        sed -E 's/[0-9.]+ ([KMGTPE]iB|B)( |;|,)/SIZE\2/g'
    grep -o 'tokens, .* a sequence' summary
    rm -f summary
}
try gpt2 --length 25
try gpt2 --length 24
try llama --length 65
try llama --length 64
try llama-linear --length 65
try llama --length 24 --samples 1000000000000000000
try llama --dry-run
try llama --length 1048576 --samples 2G
try llama --length 1048576 --eval-sequences 2G
try llama --length 64 --steps 1e18
try llama --length 1048576 --batch 65536
try llama --length 1048577
ls
