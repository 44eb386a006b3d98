# BART and its kin: one rule, with stacks that differ in heads and width.
for name in mbart marian; do
    gqa-inspect "$DATA/families/$name" | sed -n '4,15p'
done
cp -R "$DATA/families/marian" changed
chmod -R u+w changed
try() {
    echo "== $1"
    sed "$1" "$DATA/families/marian/config.json" >changed/config.json
    gqa-verify -q --against changed changed || echo $?
}
try 's/"share_encoder_decoder_embeddings": true/"share_encoder_decoder_embeddings": false/'
try 's/"max_position_embeddings": 20/"max_position_embeddings": 1048577/'
try 's/"decoder_attention_heads": 4/"decoder_attention_heads": 3/'
try 's/"decoder_ffn_dim": 21/"decoder_ffn_dim": 19/'
# An encoder of LED has projections for tokens that see all, which stay.
led=$DATA/families/led
gqa-inspect "$led" | sed -n '4,13p'
gqa-convert -q -g 2 -a all "$led" out.gqa || echo $?
gqa-convert -q -g 2 "$led" out.gqa
gqa-verify --no-run --against "$led" out.gqa |
    grep -E '^(file +parameters|weights)'
gqa-convert -q -g 2 -a encoder "$led" out.gqa || echo $?
gqa-verify -q --against "$led" "$led" || echo $?
