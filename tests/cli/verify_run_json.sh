# The JSON of a run: its keys, not its figures.
llama=$DATA/runtime/llama
gqa-convert -q --groups 1 "$llama" model.gqa
gqa-verify --backend cpu --samples 2 --length 9 --scale --generate 2 \
    --format json --against "$llama" model.gqa |
    sed -n -E '/"facts"/,/}/p; /"group": "(runtime|fidelity)"/,/"seconds"/p' |
    sed -E -e '/"(figure|detail)"/d' -e '/^ +[0-9]+,?$/d' \
        -e 's/: -?[0-9][-+0-9.e]*/: N/'
