gqa-convert -g 8 --method median model.h5 model.gqa
