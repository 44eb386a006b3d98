gqa-convert -q --groups 2 --method random --seed 7 "$DATA/good/tf-gpt2/tf_model.h5" model.gqa
gqa-verify -q --against "$DATA/good/tf-gpt2/tf_model.h5" model.gqa
