# What cannot be run, said before anything is read, and what runs do not go
# with.
llama=$DATA/runtime/llama
gqa-convert -q --groups 1 "$llama" model/
cp -r "$llama" long
sed 's/"rope_type": "default"/"rope_type": "proportional"/' \
    "$llama/config.json" >long/config.json

try() {
    local status=0
    gqa-verify -q "$@" 2>err || status=$?
    echo "== $* -> $status"
    cat err
}

try --against long model
try --no-run --against long long
GQA_CUDA_PLUGIN=missing/none.so try --backend cuda --against "$llama" model
GQA_CUDA_PLUGIN=missing/none.so try --dtype bf16 --against "$llama" model
GQA_CUDA_PLUGIN=missing/none.so try --samples 1 --length 2 --against "$llama" model
try --dtype f64 --against "$llama" model
try --tokens "$llama/reference.safetensors" model
try --no-run --scale --against "$llama" model
try --backend gpu --against "$llama" model
try --backend tpu --against "$llama" model
try --backend cpu --dtype f16 --against "$llama" model
try --profile lax --against "$llama" model
try --min-top1 101% --against "$llama" model
try --tokens missing --against "$llama" model
echo '1 2 61' >numbers
try --tokens numbers --against "$llama" model
seq -s ' ' 0 24 >numbers
try --tokens numbers --against "$DATA/runtime/gpt2" "$DATA/runtime/gpt2"
try --text numbers --against "$llama" model
try --dump-logits missing/logits.safetensors --against "$llama" model
cp model/model.safetensors copy.safetensors
cp model/config.json .
try --dump-logits copy.safetensors --against "$llama" copy.safetensors
cmp copy.safetensors model/model.safetensors
mkfifo pipe
try pipe
# Logits that have to be there, as the class says
cp -R "$DATA/runtime/llama-grouped" class
chmod -R u+w class
sed -e 's/"tie_word_embeddings": true/"tie_word_embeddings": false/' \
    "$DATA/runtime/llama-grouped/config.json" >class/config.json
gqa-verify -q --against class class 2>&1
