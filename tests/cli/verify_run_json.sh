# The JSON of a run; figures as far as every machine computes them alike.
llama=$DATA/runtime/llama
gqa-convert -q --groups 1 "$llama" model.gqa
gqa-verify --backend cpu --samples 2 --length 9 --scale --generate 2 \
    --format json --against "$llama" model.gqa |
    sed -n -E '/"facts"/,/}/p; /"group": "(runtime|fidelity)"/,/"seconds"/p' |
    sed -E -f "$CLI/rounding.sed" |
    awk '
        match($0, /: -?[0-9][-+0-9.e]*,?$/) {
            comma = /,$/ ? "," : ""
            printf "%s: %.4g%s\n", substr($0, 1, RSTART - 1),
                substr($0, RSTART + 2), comma
            next
        }
        { print }'
