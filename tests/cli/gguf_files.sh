# GGUF files of llama.cpp: the conversion is that of the checkpoint that each
# was made from, bit for bit.
data() {
    tail -c "+$(($(od -An -t u8 -N 8 "$1") + 9))" "$1"
}
same() {
    gqa-convert --quiet --force --groups 1 "$DATA/gguf/$1.gguf" gguf.safetensors
    gqa-convert --quiet --force --groups 1 "$DATA/$2" st.safetensors
    cmp <(data gguf.safetensors) <(data st.safetensors) && echo "$1: $2"
}
same llama-grouped runtime/llama-grouped/model.safetensors
same qwen2 good/qwen2
same gpt2 good/gpt2
same gpt_neox good/gpt_neox
# Where llama.cpp has norms in float32: the same numbers, and a configuration
# that means the original's.
means() {
    gqa-convert --quiet --force --groups 1 "${@:2}" "$DATA/gguf/$1.gguf" out/
    gqa-verify --no-run --against "$DATA/families/$1" out |
        sed -n "/ config \\| unchanged /s/^/$1: /p"
}
means phi3
means qwen3
means phi
means gemma
means stablelm
means stablelm-parallel
means bloom
means falcon-7b
means falcon-40b
means olmo
means olmo2
means cohere
for family in qwen2_moe-all qwen3_moe-all olmoe granite granitemoe nemotron glm glm4 ernie4_5 \
    arcee seed_oss gpt_bigcode-mqa olmo3 exaone4 exaone4-full exaone_moe glm4_moe solar_open \
    ernie4_5_moe hunyuan hunyuan-moe minimax_m2 granitemoeshared jais2; do
    means "$family"
done
# Where no key says all that a configuration has to, it is asked for.
gqa-convert --groups 1 "$DATA/gguf/gemma2.gguf" out.gqa
means gemma2 --config "$DATA/families/gemma2/config.json"
gqa-convert --groups 1 "$DATA/gguf/starcoder2.gguf" out.gqa
means starcoder2 --config "$DATA/families/starcoder2/config.json"
gqa-convert --groups 1 "$DATA/gguf/gemma3.gguf" out.gqa
means gemma3 --config "$DATA/families/gemma3/config.json"
means apertus --config "$DATA/families/apertus/config.json"
# There dots1 and Mixtral have no window; these do.
means dots1 --config "$DATA/families/dots1/config.json"
means mixtral --config "$DATA/families/mixtral/config.json"
gqa-inspect "$DATA/gguf/mixtral.gguf" | grep -e Family -e Parameters
gqa-convert --groups 2 --dry-run "$DATA/gguf/gpt_neox.gguf" out.gqa
# What is written has a configuration that means the original's.
gqa-convert --quiet --force --groups 1 "$DATA/gguf/llama-grouped.gguf" out/
gqa-verify --no-run out | sed -n '/config/p'
# All but the tokens, which this file does not say.
gqa-verify --against "$DATA/runtime/llama-grouped" --no-run out | sed -n '/^file *config/,/^file *param/p'

# Quantised weights are refused, shown, and read where that is asked for.
gqa-convert --groups 1 "$DATA/gguf/quantised.gguf" out.gqa
gqa-inspect "$DATA/gguf/quantised.gguf" | sed "s|$DATA|DATA|"
gqa-convert --quiet --dequantise --groups 1 "$DATA/gguf/quantised.gguf" out.gqa
gqa-verify --quiet --dequantise --against "$DATA/gguf/quantised.gguf" out.gqa
echo "against the quantised: $?"

# In a folder it is read where there is nothing else.
mkdir folder
cp "$DATA/gguf/gpt2.gguf" folder
gqa-inspect folder | sed -n 2p
cp "$DATA/good/gpt2/model.safetensors" folder/weights.safetensors
gqa-inspect folder 2>/dev/null | sed -n 2p

# Several files of a model are read by the first, which a folder has too.
mkdir parts
cp "$DATA"/gguf/llama-parts-* parts
gqa-inspect parts | sed -n 2p
gqa-convert --quiet --force --groups 1 parts out.gqa
gqa-verify --quiet --no-run --against "$DATA/runtime/llama-grouped" out.gqa
echo "against the original: $?"
part() {
    gqa-convert --quiet --force --groups 1 "parts/$1" "${2-out.gqa}"
    echo "exit $?"
}
part llama-parts-00003-of-00004.gguf
ln parts/llama-parts-00002-of-00004.gguf parts/linked.gguf
part llama-parts-00001-of-00004.gguf parts/linked.gguf
rm parts/linked.gguf
gqa-convert --groups 1 - out.gguf <parts/llama-parts-00001-of-00004.gguf
mv parts/llama-parts-00002-of-00004.gguf other
part llama-parts-00001-of-00004.gguf
cp parts/llama-parts-00003-of-00004.gguf parts/llama-parts-00002-of-00004.gguf
part llama-parts-00001-of-00004.gguf
cp "$DATA/gguf/gpt2.gguf" parts/llama-parts-00002-of-00004.gguf
part llama-parts-00001-of-00004.gguf
# One of another model of as many
cp "$DATA/gguf/llama-first-00002-of-00004.gguf" parts/llama-parts-00002-of-00004.gguf
part llama-parts-00001-of-00004.gguf
