# -v says on stderr what is read, decided and skipped, -vv also where time
# goes; what goes to stdout stays the same.
model=$DATA/sample/t5-tiny16

gqa-convert -v --groups 4 --dtype bf16 "$model" folder/ >convert
cp "$DATA/good/gpt_neox/model.safetensors" plain.safetensors
gqa-convert -v --groups 2 --n-heads 4 --expand plain.safetensors a.gqa 2>&1 \
    >/dev/null | grep -v '^gqa-convert: warning'
gqa-inspect -vv --stats folder >inspect
gqa-inspect --stats folder | cmp - inspect
gqa-verify -vv --no-run --against "$model" folder >verify
grep -l time: convert inspect verify
exit 0
