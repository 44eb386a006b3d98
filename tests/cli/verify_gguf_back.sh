# A half model that went through GGUF and back has norms and biases in float32:
# what they hold is compared, and their type no fault.
for model in llama-llama3 qwen2; do
    gqa-convert --quiet --groups 1 "$DATA/runtime/$model" "$model.gguf"
    gqa-convert --quiet --groups 1 "$model.gguf" "$model"
    gqa-verify --no-run --against "$DATA/runtime/$model" "$model" |
        grep -E '^(parameters|heads|exact)'
    gqa-inspect "$model" | grep -E 'dtype|F16|BF16|F32' | head -3
done
