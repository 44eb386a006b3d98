gqa-convert -g 8 --dtype int8 model.h5 model.gqa
