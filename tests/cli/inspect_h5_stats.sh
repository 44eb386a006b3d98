# The kernels lie transposed in the file.
gqa-inspect --stats "$DATA/good/tf-t5-v1_0" | sed '1,/^stack/d'
