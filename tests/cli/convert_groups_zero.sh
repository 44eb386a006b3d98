gqa-convert --groups 0 model.h5 model.gqa
