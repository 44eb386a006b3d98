# Pairs of RoPE that hardly turn are freed: where the output can say so, and as
# much as its context allows; gqa-verify holds the configuration to the recipe.
llama=$DATA/runtime/llama
rope() {
    sed -n '/"rope_scaling": {/,/}/p' "$1/config.json" | tr -d '\n ' |
        sed 's/"long_factor":\[[^]]*\],//; s/},*$/}\n/'
}
align() {
    gqa-convert -f -m aligned --calibrate none --groups 1 "$@" |
        grep '^RoPE' || echo "none freed"
}
echo "== the configuration's context"
align "$llama" out/
rope out
gqa-verify --samples 2 --length 60 --against "$llama" out |
    sed -n '/ config /,/ parameters /p; /^exact/p'
echo "== others"
align --keep-context 20 "$llama" out/
rope out
align --keep-context 500 "$llama" out/
align --no-free-pairs "$llama" out/
rope out
align --groups 3 "$llama" out/
align "$llama" out.safetensors
echo "== measured"
gqa-convert -f -m aligned --samples 4 --length 16 --keep-context 16 --groups 1 \
    "$llama" out.gqa | sed -n 's/^\(RoPE.*alone\) .*/\1/p'
gqa-verify -q --no-run --against "$llama" out.gqa
echo "== on tokens that do not reach as far: what is safe by its angle"
gqa-convert -f -m aligned --calibrate "$llama/reference.safetensors" \
    --keep-context 640 --groups 1 "$llama" out.gqa |
    sed -n 's/^\(RoPE.*alone\) .*/\1/p'
echo "== scaled before"
align "$DATA/runtime/llama-linear" out/
rope out
gqa-verify -q --no-run --against "$DATA/runtime/llama-linear" out
align "$DATA/runtime/llama-dynamic" out/
echo "== what its stock loader does not read"
align --expand "$DATA/runtime/gpt_neox" out/
align "$DATA/runtime/gpt_neox" out.gqa
echo "== a configuration that is not the recipe's"
align "$llama" out/
sed -i 's/1e30/1e29/' out/config.json
gqa-verify --no-run --against "$llama" out | sed -n '/ config /,/ parameters /p'
sed -e 's/"num_key_value_heads": 3/"num_key_value_heads": 1/' \
    "$llama/config.json" >out/config.json
gqa-verify --no-run --against "$llama" out | sed -n '/ config /,/ parameters /p'

# Folders of models alone whose stock classes read longrope with a divisor for
# each pair; some of these fail where the heads' size is not said (Mixtral's).
echo '== families'
for model in mixtral granite olmo phi3; do
    gqa-convert --quiet --method aligned --calibrate none --groups 1 "$DATA/families/$model" "$model/"
    echo "$model: exit $?"
    grep -o -e '"rope_type": "[a-z]*"' -e '"head_dim": [0-9a-z]*' "$model/config.json"
done
# A GGUF file of an architecture without factors has none.
for model in granite arcee; do
    gqa-convert --quiet --method aligned --calibrate none --groups 1 "$DATA/families/$model" $model.gguf
    grep -a -o 'rope_factors_[a-z]*' $model.gguf || echo "$model: as it was"
done

# Layers that slide turn at frequencies of their own, of which none are freed;
# those that do not turn at all share as if there were no RoPE.
echo '== frequencies of some layers alone'
for model in encoders/modernbert families/cohere2 families/smollm3; do
    gqa-convert -q -f -m aligned --no-pooling --attention all --calibrate none \
        --keep-context 1000 --dtype f64 "$DATA/$model" out.gqa
    gqa-verify --dtype f64 --samples 2 --length 32 --against "$DATA/$model" out.gqa |
        sed -n 's/\(relative L2 of \).*/\1.../; /same-function/p'
done
