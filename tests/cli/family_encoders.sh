# Encoders alone: inspected, and converted by who asks for it; run where the
# description says how.
for model in "$DATA"/encoders/*/; do
    model=${model%/}
    echo "== ${model##*/}"
    gqa-inspect "$model" | sed -n '/^Family/p; /^encoder/p; /^    /p; /^KV cache/p'
    gqa-convert -q -g 2 "$model" out.gqa || echo $?
    for expand in '' --expand; do
        gqa-convert -q -f -g 2 $expand --attention encoder "$model" out.gqa
        gqa-verify --no-run --against "$model" out.gqa |
            grep -E '^(file +parameters|weights +(unchanged|grouped))'
    done
    gqa-verify -q --samples 2 --length 8 --against "$model" out.gqa || echo $?
done
# Layers that run several times see several streams.
gqa-convert -q -f -g 2 --method aligned -a encoder "$DATA/encoders/albert" out.gqa || echo $?
gqa-convert -q -f -g 2 --method aligned --calibrate none -a encoder \
    "$DATA/encoders/albert" out.gqa
gqa-verify --samples 2 --length 8 --against "$DATA/encoders/albert" out.gqa |
    grep -E '^(weights +grouped|exact)'
