# Small models of all families that are built in: every value of every number
# of groups is what it must be, grouped and written in multi-head shape.
for model in "$DATA"/families/*/ "$DATA"/tf/*/; do
    model=${model%/}
    name=${model##*/}
    [[ ! -f $DATA/families/${name%%-*}.json ]] || continue
    heads=$(gqa-inspect -j "$model" | sed -nE 's/^ *"n_kv_heads": ([0-9]+).*/\1/p' | sort -n | head -1)
    done=
    # An encoder alone is grouped for who asks for it.
    asked=()
    [[ $name != *-encoder && $name != t5-tokens ]] || asked=(-a encoder)
    for groups in 1 2 4; do
        ((heads % groups == 0)) || continue
        [[ $name != codegen* ]] || ((groups % 4 == 0)) || continue
        for expand in '' --expand; do
            gqa-convert -q -f $expand --groups "$groups" "${asked[@]}" "$model" out.gqa
            gqa-verify -q --no-run --against "$model" out.gqa
            done+=" $groups$expand"
        done
    done
    echo "$name $heads:$done"
done
