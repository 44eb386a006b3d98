# Tables of sinusoids, and versions, that older classes stored and the class makes
# itself: copied, read by nothing, and no fault where one of two has none.
for model in "m2m_100 model.encoder model.decoder" \
    "nllb_moe model.encoder model.decoder" \
    "speech_to_text model.encoder model.decoder" "xglm model" \
    "musicgen model.decoder"; do
    read -r name modules <<<"$model"
    rm -rf model out
    cp -r "$DATA/families/$name" model
    chmod -R u+w model
    for module in $modules; do
        edit_tensors model/model.safetensors \
            add "$module.embed_positions.weights" F32 30,16
    done
    gqa-convert --quiet --groups 2 --force model out/
    gqa-verify --quiet --no-run --against "$DATA/families/$name" out
    echo "$name: $? $(gqa-inspect --tensors out | grep -c positions.weights)"
done
cp "$DATA/families/bart/"* .
edit_tensors model.safetensors add model.encoder.version F32 1
gqa-convert --quiet --groups 2 model.safetensors out.gqa
# No class has it there.
edit_tensors model.safetensors add model.decoder.embed_positions.weights F32 30,16
gqa-convert --quiet --groups 2 model.safetensors out.safetensors
