try() {
    gqa-convert -q --groups 1 "$@" out.gqa
    echo "exit $?"
}
model=$DATA/runtime/llama
try --calibrate none "$model"
try --backend cpu "$model"
try --no-refit "$model"
try --no-fit-values "$model"
try --no-fit-together "$model"
try -m aligned --calibrate none --samples 3 "$model"
try -m aligned --calibrate none --no-refit "$model"
try -m aligned --calibrate nothere "$model"
try -m aligned --text "$DATA/README.md" --calibrate self "$model"
try -m aligned --seed 1 --length 1 "$model"
try --no-pooling "$model"
gqa-convert -q --no-pooling "$model" out.gqa
echo "exit $?"
# Keys that are normed head by head
try -m aligned "$DATA/families/qwen3"
ls
