gqa-convert -g 8 --seed 1 model.h5 model.gqa
