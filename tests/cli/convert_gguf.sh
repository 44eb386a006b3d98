# A GGUF file for llama.cpp, and the way back: what is in it is the conversion,
# which gqa-verify accepts, and gqa-inspect shows its heads.
gqa-convert --groups 2 "$DATA/runtime/gpt2" gpt2.gguf | sed '/^size/d; /^time/d'
gqa-inspect gpt2.gguf
gqa-verify --no-run --against "$DATA/runtime/gpt2" gpt2.gguf | sed -n '/^[a-z]*  /p'
gqa-convert --quiet --groups 2 gpt2.gguf back/
gqa-verify --quiet --no-run --against "$DATA/runtime/gpt2" back
echo "back: $?"

echo '== families'
same() {
    local source=$DATA/$1
    [ ! -e "$1" ] || source=$1
    gqa-convert --quiet --force "${@:2}" "$source" out.gguf
    gqa-verify --no-run --against "$source" out.gguf |
        sed -n "s|^exact: |$1 ${*:2}: |p"
}
same runtime/llama --groups 1
same runtime/llama-grouped --groups 2
same runtime/llama-grouped --groups 2 --dtype bf16
same runtime/llama-grouped --groups 4 --dtype f32
same runtime/llama-freed --groups 1
same runtime/llama-yarn --groups 1
same runtime/qwen2 --groups 1 --method aligned --samples 2 --length 16
same runtime/gpt_neox --groups 1
same families/phi3 --groups 1
same families/gemma --groups 1
same families/bloom --groups 2 --dtype bf16
# Of a norm in float32 the file has one more, and 0.1 is not what comes back
gqa-convert --quiet --groups 1 --dtype f32 "$DATA/families/gemma" norms/
header=$(od -An -tu8 -N8 norms/model.safetensors | tr -d ' ')
first=$(head -c $((8 + header)) norms/model.safetensors | tr -d '\0' |
    sed -n 's/.*"model.layers.0.input_layernorm.weight":{[^}]*"data_offsets":\[\([0-9]*\).*/\1/p')
printf '\xcd\xcc\xcc\x3d' |
    dd of=norms/model.safetensors bs=1 seek=$((8 + header + first)) conv=notrunc status=none
same norms --groups 1
gqa-verify --no-run --against norms out.gguf | grep -A 1 unchanged
same families/falcon-40b --groups 1
same families/mixtral --groups 2
same families/qwen3_moe-all --groups 1
same families/cohere2 --groups 2
same families/nemotron --groups 2 --dtype bf16
same families/gpt_bigcode --groups 2
for family in glm4_moe solar_open ernie4_5_moe hunyuan-moe minimax_m2 granitemoeshared granitemoehybrid; do
    same "families/$family" --groups 1
done
same families/dots1 --groups 2 --expand
same families/olmo2 --groups 2
same good/kerashub-gpt_neox --groups 1
# Layers that differ
same runtime/llama --groups 3 --layer-groups 1=1
gqa-inspect out.gguf | sed -n '/^stack/,/^$/p'
same runtime/gpt2 --groups 4 --layer-groups 1=1 --allow-hybrid

# Gemma 3 as transformers 5 says its RoPE, and as versions before
cp -r "$DATA/families/gemma3" .
sed -i 's/\("query_pre_attn_scalar": \)24/\16/' gemma3/config.json
same gemma3 --groups 1
sed -i -e '/"rope_local_base_freq"/d' -e '/"rope_theta"/d' \
    -e 's/"rope_scaling": {/"rope_parameters": {"sliding_attention": {"rope_theta": 100.0}, "full_attention": {"rope_theta": 10000.0,/' \
    -e '/"rope_type": "linear"/s/$/ }/' gemma3/config.json
same gemma3 --groups 1
# T5 with all its heads, at the distance that llama.cpp knows
for model in t5-v1_1 t5-tied-unscaled mt5; do
    cp -r "$DATA/runtime/$model" .
    sed -i 's/\("relative_attention_max_distance": \)16/\1128/' $model/config.json
    heads=$(sed -n 's/.*"num_heads": \([0-9]*\).*/\1/p' $model/config.json)
    gqa-convert --quiet --groups "$heads" $model t5.gguf --force
    gqa-verify --no-run --against $model t5.gguf | sed -n "s|^exact: |$model: |p"
done

echo '== streams'
gqa-convert --quiet --groups 2 --to gguf "$DATA/runtime/gpt2" - | cmp - gpt2.gguf
gqa-convert --quiet --groups 2 --threads 3 "$DATA/runtime/gpt2" again.gguf
cmp again.gguf gpt2.gguf
gqa-convert --groups 2 "$DATA/runtime/gpt2" gpt2.gguf
gqa-convert --json --dry-run --groups 2 "$DATA/runtime/gpt2" new.gguf | grep output_kind

# YaRN with a factor of its own, which comes back as it was
cp -r "$DATA/runtime/llama-yarn" yarn
sed -i 's/"beta_fast"/"attention_factor": 1.2079441541679836, &/' yarn/config.json
gqa-convert --quiet --groups 1 yarn yarn.gguf
gqa-verify --no-run --against yarn yarn.gguf | grep -e config -e '^exact'
# mscale counts beside mscale_all_dim alone
cp "$DATA/runtime/llama-yarn/config.json" yarn
sed -i 's/"beta_fast"/"mscale": 2.0, &/' yarn/config.json
gqa-convert --quiet --force --groups 1 yarn yarn.gguf
gqa-verify --no-run --against yarn yarn.gguf | grep -e config -e '^exact'
# and both are one factor there: 0.1 2 ln 4 + 1 over that of mscale 0.7, and over
# what llama.cpp has
sed -i 's/"beta_fast"/"mscale_all_dim": 0.7, &/' yarn/config.json
gqa-convert --quiet --force --groups 1 yarn yarn.gguf
gqa-verify --no-run --against yarn yarn.gguf | grep -e config -e '^exact'

echo '== refused'
refused() {
    gqa-convert "$@" new.gguf
    echo "exit $?"
}
refused --groups 1 "$DATA/families/gptj"
refused --dry-run --groups 1 "$DATA/families/gptj"
refused --groups 1 "$DATA/runtime/t5-v1_1"
refused --groups 2 --attention encoder "$DATA/runtime/t5-v1_1"
refused --groups 4 "$DATA/runtime/t5-v1_0"
refused --groups 4 "$DATA/runtime/t5-v1_1"
refused --groups 1 "$DATA/families/gemma2"
refused --groups 1 "$DATA/families/olmoe"
refused --groups 2 "$DATA/families/qwen2_moe"
refused --groups 1 "$DATA/families/smollm3"
refused --groups 1 "$DATA/families/ernie4_5"
refused --groups 1 "$DATA/families/olmo"
refused --groups 1 "$DATA/good/llama-f64"
refused --groups 4 --layer-groups 1=1 "$DATA/runtime/gpt2"
refused --kv-budget 50% --method aligned "$DATA/runtime/gpt2"
refused --groups 1 --store "$DATA/runtime/gpt2"
# Experts in every second layer, and groups of them that are all chosen
sed '/moe_layer_interval/s/1/2/; /moe_layer_end_index/d' "$DATA/families/ernie4_5_moe/config.json" >interval.json
refused --groups 1 -c interval.json "$DATA/families/ernie4_5_moe"
sed '/topk_group/s/2/3/' "$DATA/families/dots1/config.json" >chosen.json
refused --groups 2 --expand -c chosen.json "$DATA/families/dots1"
refused --groups 1 "$DATA/families/exaone4"
cp "$DATA/good/gpt2/model.safetensors" alone.safetensors
refused --groups 1 --n-heads 4 alone.safetensors
# A window that llama.cpp has not of such models: a context that it has.
gqa-convert --quiet --groups 1 "$DATA/runtime/mistral" window.gguf
gqa-convert --groups 1 "$DATA/runtime/mistral" window.gguf --force >/dev/null
ls

echo '== once'
# What a configuration says of KV heads besides is told of once, also where
# nothing is written.
cp -r "$DATA/runtime/llama" said
sed -i '0,/{/s//{"n_head_kv": [4, 4],/' said/config.json
gqa-convert --groups 1 said said.gguf >said.txt
gqa-convert --dry-run --groups 1 said dry.gguf >said.txt
gqa-convert --dry-run --groups 1 said dry.gqa >said.txt
# RoPE that grows with texts longer than the context, which the file says
gqa-convert --groups 1 "$DATA/runtime/llama-dynamic" dynamic.gguf >/dev/null
gqa-verify -q --against "$DATA/runtime/llama-dynamic" dynamic.gguf && echo dynamic
sed 's/"factor": 2.5/"factor": 2.5, "alpha": 3/' "$DATA/runtime/llama-dynamic/config.json" >alpha.json
gqa-convert --groups 1 -c alpha.json "$DATA/runtime/llama-dynamic" alpha.gguf
