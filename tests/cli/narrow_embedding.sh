# An embedding that is narrower than the stream, as OPT-350m has it, is
# converted, and named where the model would be run.
cp -r "$DATA/families/opt" model
rm model/reference.safetensors
sed -i 's/"word_embed_proj_dim": 24/"word_embed_proj_dim": 12/' model/config.json
edit_tensors model/model.safetensors drop model.decoder.embed_tokens \
    add model.decoder.embed_tokens.weight F32 47,12 \
    add model.decoder.project_in.weight F32 24,12 \
    add model.decoder.project_out.weight F32 12,24
gqa-inspect model >/dev/null
gqa-convert -q --groups 2 model model.gqa
gqa-verify -q --no-run --against model model.gqa
gqa-verify -q --against model model.gqa || echo "-> $?"
