# JSON is UTF-8; file names need not be.
folder=$'caf\xe9'
cp -r "$DATA/good/llama" "$folder"
gqa-convert --dry-run --json -g 4 "$folder" "$folder.gqa" | grep -a put
gqa-convert -q -g 4 "$folder" model.gqa
gqa-inspect --recipe model.gqa
