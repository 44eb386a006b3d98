# Configurations of experts that cannot be, and what cannot be run or aligned.
try() {
    rm -rf model
    mkdir model
    cp "$DATA/families/$1/model.safetensors" model
    sed "$2" "$DATA/families/$1/config.json" >model/config.json
    echo "== $1 $2"
    gqa-verify --against model model 2>&1 | grep -E '^gqa-verify|FAILED|PASSED|fidelity: ' |
        cut -c 1-200
}
try olmoe 's/"num_experts": 5/"num_experts": 5/'
try olmoe 's/"num_experts": 5/"num_experts": 4000000000/'
try olmoe 's/"num_experts": 5/"num_experts": 6/'
try olmoe 's/"num_experts": 5/"num_experts": -1/'
try olmoe 's/"num_experts_per_tok": 3/"num_experts_per_tok": 9/'
try olmoe 's/"num_experts_per_tok": 3/"num_experts_per_tok": "many"/'
try granitemoe 's/"num_local_experts": 4/"num_local_experts": 7/'
try granitemoe 's/"num_local_experts": 4/"num_local_experts": 3/'
try phimoe 's/"num_experts_per_tok": 2/"num_experts_per_tok": 3/'
try dots1 's/"n_group": 3/"n_group": 4/'
try dots1 's/"topk_group": 2/"topk_group": 4/'
try dots1 's/"n_group": 3/"n_group": 6/'
try dots1 's/"n_group": 3/"n_group": 2/; s/"routed_scaling_factor": 2.5/"routed_scaling_factor": 1/'
try dots1 's/"first_k_dense_replace": 1/"first_k_dense_replace": 0/'
try hunyuan-moe '/"moe_topk"/,/\]/c"moe_topk": [2, 2],'
try hunyuan-moe '/"moe_topk"/,/\]/c"moe_topk": [2, 1],'
try hunyuan-moe '/"moe_topk"/,/\]/c"moe_topk": [],'
try exaone_moe 's/"sparse"/"thin"/'
try ernie4_5_moe 's/"moe_layer_end_index": 1/"moe_layer_end_index": -1/'
try ernie4_5_moe 's/"moe_num_shared_experts": 1/"moe_num_shared_experts": 0/'
try ernie4_5_moe 's/"moe_layer_interval": 1/"moe_layer_interval": 2/'
try ernie4_5_moe 's/"moe_layer_interval": 1/"moe_layer_interval": 0/'
try ernie4_5_moe 's/"moe_num_experts": 4/"moe_num_experts": 3/'
try qwen2_moe 's/"decoder_sparse_step": 1/"decoder_sparse_step": 2/'
# As transformers 5 writes where there is no window
try qwen2_moe 's/"sliding_window": null/"sliding_window": 0/'
# The names of several families, of one, and of one that others are like
for name in qwen3 phi3 mixtral; do
    cp "$DATA/families/$name/model.safetensors" "$name.safetensors"
    gqa-inspect --n-heads 4 "$name.safetensors" 2>&1 |
        sed -nE 's/families \(.*\), and/families (...), and/; /warning|^Family/p'
done
# What no alignment passes
for name in chatglm olmo-clip; do
    gqa-convert -q -f -m aligned -g 2 "$DATA/families/$name" out.gqa
    echo "exit $?"
done
