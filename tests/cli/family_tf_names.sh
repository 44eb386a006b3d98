# Names of TensorFlow become those that PyTorch's loaders look for: of
# "mlm___cls" what stands behind the line, and a number is no vector.
for name in tf-bert tf-clip; do
    gqa-convert -q -f -g 2 -a encoder "$DATA/encoders/$name" out/
    gqa-verify -q --no-run --against "$DATA/encoders/$name" out/
    gqa-inspect --tensors out/ | grep -E 'cls\.|logit_scale|k_proj.weight|key.weight'
done
