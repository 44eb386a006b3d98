gqa-convert --groups eight model.h5 model.gqa
