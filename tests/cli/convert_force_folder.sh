# --force replaces what a conversion wrote, and deletes nothing else.
convert() { gqa-convert -q "$@" "$DATA/sample/t5-tiny16" out/; }
convert -g 4 --shard-size 1M
ls out
convert --force -g 8
ls out
gqa-inspect out | grep Grouped

for name in other.gguf results.json data.npz thesis.keras my.h5 other.gqa \
    README.md LICENSE tokenizer.json pytorch_model.bin weights.pt .hidden \
    merges.txt vocab.txt spiece.model notes.txt; do
    echo "$name" >"out/$name"
done
mkdir out/runs
ln -s notes.txt out/link
cp -a out before
convert --force -g 2
echo "exit $?"
diff -r --no-dereference before out && ls -A
