# TensorFlow's and Keras' files: names and orientation are Hugging Face's, and
# --tensors has those of the file.
gqa-inspect "$DATA/sample/t5-tiny16/tf_model.h5"
gqa-inspect "$DATA/good/tf-gpt2-sharded"
gqa-inspect "$DATA/good/kerashub-gpt_neox"
gqa-inspect "$DATA/good/keras2-gpt2/model.h5"
gqa-inspect --tensors "$DATA/good/kerashub-t5"
