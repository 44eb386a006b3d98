# What transformers 5 alone would read of a configuration, a folder says for
# transformers 4 too, and nothing that would change what 5 reads.
try() {
    local name=$1 rope=$2
    echo "== $name $rope"
    rm -rf in out
    mkdir in
    cp "$DATA/$name/model.safetensors" in/
    sed '/"rope_[a-z]*": {/,/}/d; /"ro[pt][a-z]*_/d' \
        "$DATA/$name/config.json" >rest.json
    sed "1s/.*/{\"rope_parameters\": $rope,/" rest.json >in/config.json
    gqa-convert -q -g "$3" in out/
    tr -d ' \n' <out/config.json |
        grep -oE '"ro[pt][a-z]*_[a-z_]+":(\{([^{}]|\{[^}]*\})*\}|[^,}]+)'
    gqa-verify -q --against in out && echo verified
    gqa-inspect out 2>&1 >log | sed 's/^/out: /'
}
layers() { # FULL SLIDING: what is said of each kind of layer
    printf '{"full_attention": {%s}, "sliding_attention": {%s}}' "$@"
}
linear='"rope_type": "linear", "factor": 4.0'
try runtime/llama '{"rope_type": "default", "rope_theta": 10000.0}' 1
try runtime/llama '{"rope_type": "default", "rope_theta": 500000.0}' 1
try runtime/llama "{$linear, \"rope_theta\": 100}" 1
try runtime/gpt_neox '{"partial_rotary_factor": 0.5}' 1
try families/gemma3 \
    "$(layers "$linear, \"rope_theta\": 100" '"rope_theta": 50')" 2
# OLMo 3 has one base for transformers 4, which is told of.
try families/olmo3 "$(layers '"rope_theta": 100' '"rope_theta": 50')" 2
