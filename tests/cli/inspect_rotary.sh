# The share of a head that RoPE turns is a number in (0, 1].
mkdir model
cp "$DATA/runtime/gpt_neox/model.safetensors" model/
for share in 0.5 1 0 1.5 '"half"' true null; do
    sed "s/\"partial_rotary_factor\": 0.25/\"partial_rotary_factor\": $share/" \
        "$DATA/runtime/gpt_neox/config.json" >model/config.json
    status=0
    gqa-inspect model >out 2>err || status=$?
    echo "== $share -> $status"
    grep -m1 -o 'rope[ 0-9/]*[0-9 ] ' out | sed 's/ *$//' || true
    cat err
done
