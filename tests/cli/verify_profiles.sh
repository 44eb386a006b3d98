# Of a trained model: what pooling gives is a start for uptraining, and what
# was drawn at random is none.
sample=$DATA/sample/t5-tiny16

for method in mean first random; do
    status=0
    gqa-convert -qf --groups 8 --method $method "$sample" model.safetensors
    gqa-verify --backend cpu --samples 4 --length 48 --format tap \
        --profile initialiser --against "$sample" model.safetensors >out ||
        status=$?
    echo "$method: $(sed -n 's/\(ok .*kl-of-first\):.*/\1/p' out), exit $status"
done

# Trained or not, what is not within a budget fails, and weights do not.
status=0
gqa-convert -qf --groups 8 "$sample" model.safetensors
break_weights model.safetensors decoder.block.0.layer.0.SelfAttention.o.weight \
    scale 1.01
gqa-verify --backend cpu --samples 2 --length 24 --format tap --trained \
    --profile uptrained --against "$sample" model.safetensors >out || status=$?
grep -e ' - weights ' -e '^# most' out
sed -n 's/^\(not ok .*\):.*/\1/p' out
echo "exit $status"
