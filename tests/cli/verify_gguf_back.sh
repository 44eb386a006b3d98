# A half model that went through GGUF and back has norms, biases and routers in
# float32: what they hold is compared, and their type no fault.
for model in runtime/llama-llama3 runtime/qwen2 families/mixtral; do
    name=${model##*/}
    gqa-convert --quiet --groups 1 --dtype bf16 "$DATA/$model" "$name.safetensors"
    gqa-convert --quiet --groups 1 "$name.safetensors" "$name.gguf"
    gqa-convert --quiet --groups 1 "$name.gguf" "$name-back.safetensors"
    gqa-verify --quiet --no-run --against "$name.safetensors" \
        "$name-back.safetensors"
    echo "$model: $?"
done
