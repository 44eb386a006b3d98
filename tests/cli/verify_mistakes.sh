# Mistakes that have a name are named, with no recipe to lean on.
# shellcheck source=/dev/null
. "$CLI/broken.bash"
sample=$DATA/sample/t5-tiny16
gpt2=$DATA/runtime/gpt2
llama=$DATA/runtime/llama
block=decoder.block.1.layer
k=$block.0.SelfAttention.k.weight
v=$block.0.SelfAttention.v.weight
lk=model.layers.0.self_attn.k_proj.weight

gqa-convert -q --groups 16 "$sample" original.safetensors
gqa-convert -q --groups 3 "$llama" llama_original.safetensors
gqa-convert -q --groups 4 "$sample" t5/
gqa-convert -q --groups 1 "$llama" llama/
gqa-convert -q --groups 2 "$gpt2" gpt2/
gqa-convert -q --groups 2 --expand "$gpt2" gpt2_expanded/
gqa-convert -q --groups 4 --expand "$sample" t5_expanded/
for folder in t5 llama gpt2 gpt2_expanded t5_expanded; do
    forget_recipe $folder/model.safetensors
done

broken "$sample" t5 $k transpose
broken "$sample" t5 $k exchange $v
broken "$sample" t5 $k exchange ${k/1.layer/0.layer}
broken "$sample" t5 $k exchange $block.1.EncDecAttention.k.weight
broken "$sample" t5 $v scale 4
broken "$sample" t5 $v scale 2
broken "$sample" t5 $k last original.safetensors 8
broken "$sample" t5 $k minor original.safetensors 8
broken "$llama" llama $lk round
broken "$gpt2" gpt2 transformer.h.0.attn.c_attn.weight swap-columns 0 20 5
broken "$gpt2" gpt2_expanded transformer.h.0.attn.c_attn.weight swap-columns 20 40 20
broken "$sample" t5_expanded $k exchange $v

rm -rf swapped && mkdir swapped
cp "$sample/config.json" swapped
cp original.safetensors swapped/model.safetensors
forget_recipe swapped/model.safetensors
gqa-verify --no-run --format tap --against t5 swapped | grep -A 1 '^not ok'
