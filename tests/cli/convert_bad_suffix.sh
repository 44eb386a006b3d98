gqa-convert -g 8 model.h5 model.gguf
# An ending alone is no name, in whatever folder.
gqa-convert -g 8 model.h5 .gqa
gqa-convert -g 8 model.h5 ./.safetensors
