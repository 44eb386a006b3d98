gqa-convert -g 8 --shard-size 5TB model.h5 folder/
