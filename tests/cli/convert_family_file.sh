# Families that files describe: every value of every number of groups is what
# it must be, grouped and written in multi-head shape.
for pair in opt:opt opt-post:opt bloom:bloom bloom-base:bloom; do
    model=$DATA/families/${pair%:*}
    family=$DATA/families/${pair#*:}.json
    heads=$(gqa-inspect -j --family "$family" "$model" |
        sed -nE 's/^ *"n_kv_heads": ([0-9]+).*/\1/p' | sort -u)
    for groups in 1 2 3 4; do
        ((heads % groups == 0)) || continue
        for expand in '' --expand; do
            gqa-convert -q -f $expand --groups "$groups" --family "$family" \
                "$model" out.gqa
            gqa-verify -q --no-run --family "$family" --against "$model" \
                out.gqa
            echo "${pair%:*} $groups $expand"
        done
    done
done
