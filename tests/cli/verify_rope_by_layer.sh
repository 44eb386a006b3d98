# RoPE that differs by the kind of layer, as transformers 4 and 5 write it, is
# the same.
mkdir model
cp "$DATA/families/gemma3/model.safetensors" model
sed -e '/"rope_local_base_freq"/d; /"rope_theta"/d; /"rope_scaling"/,/}/d' \
    -e '1a "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 10000.0}, "sliding_attention": {"rope_type": "default", "rope_theta": 100.0}},' \
    "$DATA/families/gemma3/config.json" >model/config.json
gqa-verify --against "$DATA/families/gemma3" model | grep -E '^fidelity +kl |^fidelity:'
# Another base does tell.
sed -i 's/"rope_theta": 100.0/"rope_theta": 90.0/' model/config.json
gqa-verify --against "$DATA/families/gemma3" model | grep -E '^fidelity +kl ' |
    grep -c 'mean 0,' || true
