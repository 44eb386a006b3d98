gqa-convert --group-size 2 model.h5 model.gqa
