# An encoder of sound: its convolutions are copied, keys have no bias, and
# nobody runs it.
whisper=$DATA/families/whisper
gqa-inspect "$whisper" | sed -n '4,30p'
gqa-convert -q -g 2 "$whisper" out.gqa
gqa-verify --no-run --against "$whisper" out.gqa | grep -E '^(file +parameters|weights)'
gqa-verify -q --against "$whisper" out.gqa || echo $?
# TensorFlow's kernels of convolutions are turned like other kernels.
gqa-convert -q -g 2 "$DATA/tf/whisper" turned.safetensors
gqa-inspect --tensors turned.safetensors | grep conv
