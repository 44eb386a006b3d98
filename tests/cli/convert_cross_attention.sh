# GPT-2 with cross-attention, as transformers writes it: its keys and values
# lie fused, its queries apart.
cp -r "$DATA/runtime/gpt2" gpt2
chmod -R u+w gpt2
sed -i "s/\"add_cross_attention\": false/\"add_cross_attention\": true/" gpt2/config.json
# Without them it is not the model that the configuration says.
gqa-convert --groups 2 gpt2 none.safetensors
for layer in 0 1; do
    h=transformer.h.$layer.crossattention
    edit_tensors gpt2/model.safetensors \
        add "$h.q_attn.weight" F32 20,20 \
        add "$h.q_attn.bias" F32 20 \
        add "$h.c_attn.weight" F32 20,40 \
        add "$h.c_attn.bias" F32 40 \
        add "$h.c_proj.weight" F32 20,20 \
        add "$h.c_proj.bias" F32 20 \
        add "transformer.h.$layer.ln_cross_attn.weight" F32 20 \
        add "transformer.h.$layer.ln_cross_attn.bias" F32 20
done
gqa-inspect gpt2
gqa-convert --groups 2 gpt2 out.safetensors
gqa-verify --no-run --against gpt2 out.safetensors | grep -v libraries
