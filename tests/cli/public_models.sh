# Small checkpoints that others trained and gave out; they are not part of the
# project.
public=$DATA/../../../shared/models/public
[[ -d $public ]] || exit 77
data() {
    tail -c "+$(($(od -An -t u8 -N 8 "$1") + 9))" "$1"
}
# 8 heads on 4: KV heads that are copied for all 8 and put together again are
# what they were, bit for bit.
baby=$public/babyllama-105/model5000.bin
gqa-convert -q --groups 4 "$baby" before.safetensors
gqa-convert -q --groups 4 --expand "$baby" wide.safetensors
gqa-inspect wide.safetensors | grep decoder
gqa-convert -q --groups 4 wide.safetensors after.safetensors
cmp <(data before.safetensors) <(data after.safetensors) && echo same

# A GPT-2 whose matrices are those of linear layers, and whose configuration
# has names of its own: both are described.
mkdir makemore
cp "$public/makemore/model.pt" makemore
cat >makemore.json <<'JSON'
{
  "family": "makemore", "like": "gpt2", "model_types": {"makemore": {}},
  "weights": "out-in",
  "names": {"ignored": ["bias", "masked_bias"]},
  "logits": {"tied": {"key": "tie_word_embeddings", "default": false}}
}
JSON
cat >makemore/config.json <<'JSON'
{"model_type": "makemore", "n_head": 4, "n_layer": 4, "n_embd": 64,
 "n_positions": 16, "vocab_size": 27, "bos_token_id": 0, "eos_token_id": 0}
JSON
gqa-inspect --family makemore.json makemore
gqa-convert -q --groups 2 --family makemore.json makemore out.gqa
gqa-verify --no-run -q --family makemore.json --against makemore out.gqa
echo "verified: $?"
