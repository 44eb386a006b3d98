# A grouped checkpoint: what it is now, how it was made, and that a damaged
# seek table is no reason not to look. How small it gets is zstd's affair.
gqa-convert -q --groups 4 "$DATA/sample/t5-tiny16/tf_model.h5" model.gqa
gqa-inspect model.gqa | sed -E '/^Kind/s/[0-9.]+ MiB \([0-9]+ bytes\)/SIZE/'
gqa-inspect --recipe model.gqa | sed 's/gqa-convert .*/gqa-convert X/'
gqa-inspect --kv-cache model.gqa
zstd -dcq model.gqa >model.safetensors
cmp <(gqa-inspect --recipe model.gqa) <(gqa-inspect --recipe model.safetensors)

# The last nine bytes are the seek table's footer.
head -c -9 model.gqa >bad.gqa
printf '\1\0\0\0\x80\xb1\xea\x92\x8f' >>bad.gqa
gqa-inspect bad.gqa 2>err >out
sed -E 's/[0-9]{4,}/N/' err >&2
gqa-inspect model.gqa | sed 's/model.gqa/bad.gqa/' | cmp - out
