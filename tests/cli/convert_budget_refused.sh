try() {
    gqa-convert -q "$@"
    echo "exit $?"
}
model=$DATA/sample/t5-tiny16
small=(-m aligned --samples 8 --length 16)
try --kv-budget 25% "$model" out.gqa
try --max-kl 1 --uniform "$model" out.gqa
try --uniform -g 4 "$model" out.gqa
try "${small[@]}" --kv-budget 25% -g 4 "$model" out.gqa
try "${small[@]}" --kv-budget 25% --max-kl 1 "$model" out.gqa
try "${small[@]}" --max-kl 1 -l 0=4 "$model" out.gqa
try "${small[@]}" --max-kl 1 --no-pooling "$model" out.gqa
try -m aligned --calibrate none --kv-budget 25% "$model" out.gqa
try -m aligned --calibrate none --max-kl 1 "$model" out.gqa
try "${small[@]}" --kv-budget 25% -a all "$model" out.gqa
try --kv-budget 150% "$model" out.gqa
try --kv-budget -1 "$model" out.gqa
# Too little for one head each; what is left out counts.
try "${small[@]}" --kv-budget 5% "$model" out.gqa
try --kv-budget 5% --uniform "$model" out.gqa
try "${small[@]}" --kv-budget 50% -a decoder-self "$model" out.gqa
# No stock loader takes numbers that differ
try "${small[@]}" --kv-budget 25% "$model" out/
# Nothing is left to measure on
try -m aligned --text "$DATA/README.md" --samples 1 --length 16 \
    --kv-budget 25% "$model" out.gqa
# Not the source itself is as near
try "${small[@]}" --max-kl 1e-9 --uniform "$DATA/runtime/mistral" out.gqa |&
    sed 's/mean KL is .*,/mean KL is SOME,/; s/ [0-9.]*%/ SHARE/'
try --kv-budget 50% -m aligned "$DATA/families/qwen3" out.gqa
# No logits to measure by
try "${small[@]}" --kv-budget 50% "$DATA/families/t5-classes" out.gqa
ls
