# Where nothing but the container changes, the recipe stays what it was.
gqa-convert -q -g 8 -m first "$DATA/sample/t5-tiny16" first.gqa
gqa-convert -q -g 8 --shard-size 1M first.gqa folder/
gqa-convert -q -g 8 folder again.safetensors
for checkpoint in first.gqa folder again.safetensors; do
    gqa-inspect --recipe $checkpoint >$checkpoint.recipe
    cmp first.gqa.recipe $checkpoint.recipe
done

# A second conversion has the first inside.
gqa-convert -q -g 4 folder second/
gqa-inspect --recipe second | grep -c method
