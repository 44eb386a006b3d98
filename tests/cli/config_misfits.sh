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
model runtime/llama 's/"rms_norm_eps": [0-9.e-]*/"rms_norm_eps": -1/'
model runtime/mistral 's/"sliding_window": [0-9]*/"sliding_window": 0/'
model runtime/llama-linear 's/"rope_type": "linear"/"rope_type": "foo"/'
# A null that not all classes work out is the number that it stands for.
rm -rf m
cp -r "$DATA/runtime/qwen2" m
sed -i 's/"head_dim": [0-9]*/"head_dim": null/' m/config.json
gqa-convert -q --groups 1 m out/ && grep '"head_dim"' out/config.json >&2
# So a run says, and who writes another kind of file.
cp -r "$DATA/runtime/llama-linear" bad
sed -i 's/"factor": [0-9.]*/"factor": -2.0/' bad/config.json
gqa-convert --groups 1 bad out.gguf
gqa-verify bad | grep 'number above' >&2
exit 0
