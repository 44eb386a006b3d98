# A configuration that is cut off keeps no tensor from being listed; one that is
# given by name is read, or nothing is.
cp -r "$DATA/runtime/llama" model
chmod -R u+w model
head -c 40 "$DATA/runtime/llama/config.json" >model/config.json
gqa-inspect model || echo "exit $?"
gqa-inspect --tensors model | sed -n 2p
gqa-inspect --config model/config.json model
