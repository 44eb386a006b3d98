# A file of 100 GB, of which only the header is there: it takes no longer.
n=$((7 * 1000 * 1000 * 1000))
header=
offset=0
add() {
    header+=${header:+,}"\"$1\":{\"dtype\":\"BF16\",\"shape\":[$2],"
    header+="\"data_offsets\":[$offset,$((offset + 2 * $3))]}"
    offset=$((offset + 2 * $3))
}
add lm_head.weight 1000000000,7 "$n"
for part in q k v o; do
    add "model.layers.0.self_attn.${part}_proj.weight" 65536,65536 4294967296
done
add model.embed_tokens.weight 131072,65536 8589934592
add model.layers.0.mlp.up_proj.weight 262144,65536 17179869184
header="{$header}"
printf '%016x' ${#header} | sed -E 's/(..)(..)(..)(..)(..)(..)(..)(..)/\\x\8\\x\7\\x\6\\x\5\\x\4\\x\3\\x\2\\x\1/' >length
printf '%b' "$(cat length)" >big.safetensors
printf '%s' "$header" >>big.safetensors
truncate -s $((8 + ${#header} + offset)) big.safetensors
timeout 20 gqa-inspect --n-heads 512 big.safetensors
