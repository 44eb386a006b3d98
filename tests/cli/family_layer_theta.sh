# Granite with sliding windows: a base of RoPE for each layer, of which 0 says
# that it has no RoPE.
model=$DATA/families/granite_swa
gqa-inspect "$model" | sed -n '/^stack/,/^$/p'
try() {
    rm -rf other
    cp -R "$model" other
    chmod -R u+w other
    sed -i "/\"layer_rope_theta\"/,/\]/c$1" other/config.json
    gqa-verify --samples 2 --length 8 --against other other |
        grep -E '^(exact|fidelity: )' || true
}
try '"layer_rope_theta": [0, 10000, 10000],'
try '"layer_rope_theta": [0, 10000, 0],'
try '"layer_rope_theta": null,'
try '"layer_rope_theta": [0, 10000, 500000],'
try '"layer_rope_theta": [0, "x", 10000],'
try '"layer_rope_theta": [0],'
