# Of several files in a folder, what loaders read is read, no output of a
# conversion beside its source, and what is left is named.
cp -r "$DATA/runtime/llama" model
chmod -R u+w model
rm model/reference.safetensors
cp model/model.safetensors model/model-00001-of-00001.safetensors
cat >model/model.safetensors.index.json <<'JSON'
{"metadata": {}, "weight_map": {"lm_head.weight": "model-00001-of-00001.safetensors"}}
JSON
gqa-convert --groups 1 --dry-run model out.gqa | head -n 1

# A conversion in the folder of its source
rm model/model*-0* model/*.index.json
gqa-convert --quiet --groups 1 model model/grouped.gqa
gqa-convert --groups 1 --dry-run model out.gqa | head -n 1
mv model/model.safetensors model/weights.safetensors
gqa-convert --groups 1 --dry-run model out.gqa | head -n 1
gqa-convert --quiet --groups 1 model/weights.safetensors model/model.safetensors
# The output has the name that loaders look for; its source has another.
gqa-convert --groups 1 --dry-run model out.gqa
rm model/weights.safetensors
# What has none of its tensors is not its source: an adapter, logits.
cp "$DATA/runtime/llama/reference.safetensors" model
gqa-convert --groups 1 --dry-run model out.gqa | head -n 1
gqa-convert --quiet --groups 1 model model/again.safetensors
touch model/pytorch_model.bin
gqa-convert --groups 1 --dry-run model out.gqa | head -n 1
rm model/pytorch_model.bin
cp "$DATA/good/tf-gpt2/tf_model.h5" model
gqa-convert --groups 1 --dry-run model out.gqa
# Of GGUF files what sees for a model is none; of several one has to be named.
mkdir files
cp "$DATA/gguf/llama-grouped.gguf" files/model.gguf
cp "$DATA/gguf/llama-grouped.gguf" files/mmproj-model-f16.gguf
gqa-convert --groups 1 --dry-run files out.gqa | head -n 1
cp "$DATA"/gguf/llama-parts-*.gguf files
gqa-convert --groups 1 --dry-run files out.gqa
