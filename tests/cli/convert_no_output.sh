gqa-convert --groups 8 model.h5
