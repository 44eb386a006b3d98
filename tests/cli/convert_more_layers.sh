# Layers that predict more tokens than the next one: stock classes do not load
# them, and what is written has none.
cp -r "$DATA/families/glm4_moe" "$DATA/families/exaone_moe" .
chmod -R u+w .
edit_tensors glm4_moe/model.safetensors repeat model.layers.1. model.layers.2. \
    add model.layers.2.eh_proj.weight F16 32,64
gqa-convert -q -g 2 glm4_moe out/ || echo "-> $?"
sed -i 's/"n_group"/"num_nextn_predict_layers": 1, "n_group"/' glm4_moe/config.json
gqa-convert -g 2 glm4_moe out/ | grep KV
gqa-inspect --tensors out | grep -E 'input_layernorm|eh_proj'
gqa-verify --against glm4_moe out | grep -E 'PASSED|fidelity: '
edit_tensors exaone_moe/model.safetensors add mtp.fc.weight F16 32,64
gqa-convert -q -g 2 exaone_moe more/
gqa-inspect --tensors more | grep -c mtp
# Numbers by which experts are chosen keep their type
gqa-convert -q -f --dtype bf16 -g 2 exaone_moe more/
gqa-inspect --tensors more | grep -E 'correction|mlp.gate.weight'
