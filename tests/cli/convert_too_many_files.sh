gqa-convert --groups 8 model.h5 model.gqa other.gqa
