# An encoder of sound: its convolutions are copied, keys have no bias, and it
# is run on frames that are drawn.
whisper=$DATA/families/whisper
gqa-inspect "$whisper" | sed -n '4,30p'
gqa-convert -q -g 2 "$whisper" out.gqa
gqa-verify --no-run --against "$whisper" out.gqa | grep -E '^(file +parameters|weights)'
gqa-verify -q --against "$whisper" out.gqa
# Decoders of others' encoders (a Donut's, whose num_hidden_layers are those of
# the encoder that it has not), and of several codes at a time
for name in trocr musicgen donut; do
    gqa-inspect "$DATA/families/$name" | sed -n '4,15p'
    gqa-convert -q -f -g 2 "$DATA/families/$name" out.gqa
    gqa-verify --no-run --against "$DATA/families/$name" out.gqa |
        grep -E '^(file +parameters|weights)'
    gqa-verify -q --against "$DATA/families/$name" out.gqa
done
# TensorFlow's kernels of convolutions are turned like other kernels.
gqa-convert -q -g 2 "$DATA/tf/whisper" turned.safetensors
gqa-inspect --tensors turned.safetensors | grep conv
# What is no convolution, or does not follow the one before
cp -R "$whisper" changed
chmod -R u+w changed
for shape in 16,3,16 16,48,1; do
    LC_ALL=C sed "s/\[16,16,3\]/[$shape]/" "$whisper/model.safetensors" >changed/model.safetensors
    gqa-verify -q --against changed changed || echo $?
done
