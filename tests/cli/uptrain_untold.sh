# A log or a page that cannot be written costs nothing of what is trained: the
# output and the state are there, and the exit status says that something is not.
sample=$DATA/sample/t5-tiny16/tf_model.h5
gqa-convert -q --groups 2 "$sample" model.gqa
try() {
    echo "== $*"
    rm -rf state out.gqa
    gqa-uptrain -q --batch 2 --length 16 --eval-sequences 2 --rate 1e-3 \
        --teacher "$sample" "$@" model.gqa out.gqa
    echo "exit $?"
    [[ -e out.gqa ]] && gqa-verify -q --no-run out.gqa && echo whole
    ls state 2>/dev/null
}
try --steps 4 --log /dev/full --checkpoint state
try --steps 4 --html /dev/full --checkpoint state
try --steps 4 --layerwise --layer-steps 2 --log /dev/full
try --steps 0 --layerwise --layer-steps 2 --log /dev/full
# A pipe is waited for by nobody, and may be read.
mkfifo pipe
try --steps 2 --log pipe
exec 3<>pipe
try --steps 2 --log pipe
head -n 1 <&3 | cut -d : -f 1
exec 3>&-
GQA_CUDA_PLUGIN=pipe try --steps 2 --backend cuda
# A page that is larger than files may be here
gqa-convert -q --groups 1 "$DATA/runtime/llama" llama/
(
    ulimit -f 11
    trap '' XFSZ
    gqa-uptrain -q --steps 300 --eval-every 10 --batch 1 --length 4 \
        --eval-sequences 1 --rate 1e-3 --html page.html --shard-size 1KB \
        --teacher "$DATA/runtime/llama" llama/ paged/
    echo "exit $?"
    ls page.html 2>/dev/null
)
gqa-verify -q --no-run paged/ && echo whole
# It is said once, at once
gqa-uptrain --steps 4 --batch 2 --length 16 --eval-sequences 2 --rate 1e-3 \
    --teacher "$sample" --log /dev/full model.gqa loud.gqa 2>&1 >told |
    grep -c 'warning: /dev/full'
