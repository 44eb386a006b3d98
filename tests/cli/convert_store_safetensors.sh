gqa-convert -g 8 --store model.h5 model.safetensors
