# A model that lacks something is shown all the same, and what it lacks is told.
cp -r "$DATA/runtime/llama" model
chmod -R u+w model
edit_tensors model/model.safetensors drop model.norm add step F32 -
gqa-inspect model
gqa-inspect --quiet --json model | grep faults
