gqa-convert --layer-groups 3-1=4 model.h5 model.gqa
