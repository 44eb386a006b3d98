# What stock loaders make of a folder is said where it matters.
for name in phi opt; do
    for more in '' --expand; do
        family=()
        [[ -f $DATA/families/$name.json ]] && family=(--family "$DATA/families/$name.json")
        gqa-convert -f $more --groups 2 "${family[@]}" "$DATA/families/$name" out/ | sed -n '/^$/,$p'
        echo "== $name $more"
        tr -d '\n' <out/config.json | grep -o '"num_key_value_heads": [0-9]*' || true
    done
done
gqa-convert -f -l 1=2 --allow-hybrid "$DATA/families/phi" out/ | sed -n '/^$/,$p'
