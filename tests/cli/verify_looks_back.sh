# Decoders that look back at rows without an encoder, against themselves: what
# cross-attentions give has a place of its own for each sequence.
for name in trocr trocr_sinusoidal gpt2-cross t5gemma musicgen donut \
    marian-decoder speech-bart xglm-cross; do
    gqa-verify --quiet --dtype=f64 --samples=3 \
        --against "$DATA/families/$name" "$DATA/families/$name" || echo "$name"
done
