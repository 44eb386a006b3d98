# Numbers of a configuration that no tensor contradicts, and that its class
# does not load: each tool says so.
model() { # FIXTURE EDIT
    rm -rf m
    cp -r "$DATA/$1" m
    sed -i -z "$2" m/config.json
    echo "== $1 $2" >&2
    gqa-inspect m >/dev/null
    gqa-convert -f --groups 1 m out.gqa >/dev/null
}
model families/gemma2 's/"layer_types": \[[^]]*\]/"layer_types": ["full_attention"]/'
model runtime/qwen2 's/"pad_token_id": [a-z0-9]*/"pad_token_id": 500/'
model runtime/qwen2 's/"pad_token_id": [a-z0-9]*/"pad_token_id": 0/'
