gqa-convert -g 8 --level 3 --store model.h5 model.gqa
