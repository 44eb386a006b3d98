gqa-convert -g 8 --attention decoder,sideways model.h5 model.gqa
