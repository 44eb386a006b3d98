# What is converted and not run, or not handled at all, says why.
for name in diffllama pegasus_x; do
    gqa-convert -q -f -g 2 "$DATA/families/$name" out.gqa
    gqa-verify -q --no-run --against "$DATA/families/$name" out.gqa
    gqa-verify -q --against "$DATA/families/$name" out.gqa || echo "-> $?"
done
gqa-convert -q -f -g 2 --attention all "$DATA/families/led" out.gqa || echo "-> $?"
cp -r "$DATA/families/hunyuan" model
for type in jetmoe moonshine mpnet prophetnet RefinedWeb RefinedWebModel \
    stablelm_epoch deepseek_v3 minicpm3 jamba rwkv mimo_v2_flash llama4_text; do
    sed -i "s/\"model_type\": .*/\"model_type\": \"$type\",/" model/config.json
    gqa-convert -q -f -g 2 model out.gqa || echo "-> $?"
done
# Layers of a type that has several kinds
cp -r "$DATA/families/granitemoehybrid" layers
for types in '"layer_types": ["mamba", "attention"],' ''; do
    sed '/"layer_types"/,/\]/d' "$DATA/families/granitemoehybrid/config.json" |
        sed "s/^{/{$types/" >layers/config.json
    gqa-convert -q -f -g 2 layers out.gqa || echo "-> $?"
done
