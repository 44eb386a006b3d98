# The files of tokenizer and generation in both folders: reported, never
# failed; JSON by what it says.
try() {
    local status=0
    gqa-verify --no-run --against original model >out || status=$?
    echo "== $1 -> $status"
    sed -n '/^file *companions/,/^file *content/{/^file *content/!p;}' out
}

cp -r "$DATA/good/llama" original
chmod -R u+w original
find original -type f ! -name 'config.json' ! -name '*.safetensors' -delete
cp -r original model
try 'neither has any'
echo '{"eos_token_id": 2, "temperature": 1.0}' >original/generation_config.json
echo '{"eos_token_id": [2], "transformers_version": "5.0"}' \
    >model/generation_config.json
echo '{"model": {"vocab": {"a": 0, "b": 1}}}' >original/tokenizer.json
echo '{"model":{"vocab":{"b":1,"a":0}}}' >model/tokenizer.json
printf 'a b\n' | tee original/merges.txt >model/merges.txt
try 'the same'
echo '{"eos_token_id": [2, 3], "top_k": 5}' >model/generation_config.json
echo '{"model":{"vocab":{"b":0,"a":1}}}' >model/tokenizer.json
printf 'b a\n' >model/merges.txt
printf 'x' >original/spiece.model
printf 'x' >model/chat_template.jinja
try 'others'
gqa-verify --json --no-run --against original model |
    sed -n '/"files"/,/"name": "merges/p'
gqa-verify --no-run --against original model/model.safetensors |
    grep -c companions || true
