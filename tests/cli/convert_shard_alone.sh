# One shard of several, in which there happens to be no attention.
gqa-convert -g 1 "$DATA/good/kerashub-gpt2-sharded/model_00000.weights.h5" out.gqa
