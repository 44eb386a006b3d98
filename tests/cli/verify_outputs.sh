# What is written never takes the place of what is read.
cp -R "$DATA/runtime/llama" original
gqa-convert -q --groups 1 original converted/
echo '1 2 3' >tokens.json
ln original/config.json other.json

try() {
    local status=0
    gqa-verify -q --backend cpu --samples 1 --length 3 --against original \
        "$@" converted 2>err || status=$?
    echo "== $* -> $status"
    cat err
}

try --report both.json --dump-logits both.json
try --report tokens.json --tokens tokens.json
try --dump-logits tokens.json --tokens tokens.json
try --report original/config.json
try --report converted/config.json
try --report other.json
echo '{}' >original/generation_config.json
try --report original/generation_config.json
rm original/generation_config.json
try --dump-logits original/model.safetensors
try --report converted/../original/config.json --dump-logits logits
cat tokens.json
diff "$DATA/runtime/llama" original && ls
