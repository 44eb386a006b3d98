# Parameters that a key of the configuration says are not there: the key is named,
# where the model cannot do without them. TrOCR can, whose positions are computed then.
for case in "nllb_moe share_encoder_decoder_embeddings false model.shared" \
    "trocr use_learned_position_embeddings false decoder.model.decoder.embed_pos"; do
    read -r family key value names <<<"$case"
    rm -rf model
    cp -r "$DATA/families/$family" model
    chmod -R u+w model
    sed -i "s/\"$key\": [a-z]*/\"$key\": $value/" model/config.json
    grep -q "$key" model/config.json ||
        sed -i "0,/{/s//{\"$key\": $value,/" model/config.json
    edits=()
    for name in $(gqa-inspect --json --tensors model |
        grep -o "\"[a-z_.0-9]*${names}[a-z_.0-9]*\"" | tr -d '"' | sort -u); do
        edits+=(drop "$name")
    done
    edit_tensors model/model.safetensors "${edits[@]}"
    gqa-convert --quiet --groups 2 model out.gqa && echo "$family is converted"
done
exit 0
