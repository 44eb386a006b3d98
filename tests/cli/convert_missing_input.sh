gqa-convert -g 8 model.h5 model.gqa
