# A folder of links to the output's own weights: replacing would lose them.
gqa-convert -q -g 8 "$DATA/sample/t5-tiny16" out/
mkdir links
ln -s ../out/model.safetensors ../out/config.json links/
cp -r out before
gqa-convert -q --force -g 4 links out/
status=$?
diff -r before out
exit $status
