# A matrix of logits beside an embedding that it is said to be tied to: versions
# of transformers read either, and each tool says so; nothing is said of a copy.
warnings() {
    { "$@" >/dev/null || echo "-> $?" >&2; } 2>&1
}

mkdir own said
edit() { # FOLDER FIXTURE EDIT...
    cp "$DATA/runtime/$2/"* "$1"
    edit_tensors "$1/model.safetensors" "${@:3}"
}

edit own qwen2-tied add lm_head.weight F32 61,20
echo '== said to be tied'
warnings gqa-inspect own
warnings gqa-convert -q --groups 1 own own.gqa
warnings gqa-convert -f --groups 1 own own.gqa
gqa-verify --no-run --against own own.gqa | sed -n '/^file *config/,/^file *par/p'

echo '== tied by default'
sed -i '/tie_word_embeddings/d' own/config.json
warnings gqa-inspect own
sed -i 's/"qwen2"/"gemma"/; s/Qwen2For/GemmaFor/' own/config.json
warnings gqa-inspect own

echo '== a table of a stack'
edit said t5-v1_1 add encoder.embed_tokens.weight F32 61,20
warnings gqa-inspect said

echo '== copies'
warnings gqa-convert --groups 1 "$DATA/good/tf-t5-v1_0" copy.gqa
