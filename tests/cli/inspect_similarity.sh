# Heads without rotation and with it; what was asked for, and half of them.
gqa-inspect --similarity "$DATA/sample/t5-tiny16"
gqa-inspect --groups 1 "$DATA/runtime/llama"
# Where keys are normed head by head only what heads are as they stand.
gqa-inspect --similarity "$DATA/families/qwen3"
