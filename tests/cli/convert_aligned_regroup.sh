# Heads that are alike are found wherever they stand, in every layout: two heads
# of different groups change places, all that is theirs with them, and still
# nothing is lost. With their neighbours they lose much.
change() {
    break_weights "$file" "$@"
}
prepare() {
    gqa-convert -q --groups "$2" --dtype f32 "$DATA/runtime/$1-repeated" "$1/"
    file=$1/model.safetensors
}

prepare gpt2 4
for layer in 0 1; do
    attention=transformer.h.$layer.attn
    for at in 0 20 40; do
        change $attention.c_attn.weight swap-columns $((at + 5)) $((at + 10)) 5
        change $attention.c_attn.bias swap-rows $((at + 5)) $((at + 10)) 5
    done
    change $attention.c_proj.weight swap-rows 5 10 5
done

prepare gpt_neox 4
for layer in 0 1; do
    attention=gpt_neox.layers.$layer.attention
    change $attention.query_key_value.weight swap-rows 24 48 24
    change $attention.query_key_value.bias swap-rows 24 48 24
    change $attention.dense.weight swap-columns 8 16 8
done

# The layers' heads are alike in other ways, but share one table of positions:
# all of a stack get one order. Cross-attentions have their own.
prepare t5 6
for layer in 0 1; do
    self=decoder.block.$layer.layer.0.SelfAttention
    cross=decoder.block.$layer.layer.1.EncDecAttention
    for part in q k v; do
        change $self.$part.weight swap-rows 6 24 6
        change $cross.$part.weight swap-rows $((6 * layer)) 30 6
    done
    change $self.o.weight swap-columns 6 24 6
    change $cross.o.weight swap-columns $((6 * layer)) 30 6
done
change decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight \
    swap-columns 1 4 1

for model in gpt2 gpt_neox t5; do
    for calibrate in none self; do
        learn=(-m aligned --no-free-pairs)
        if [[ $calibrate == self ]]; then
            learn+=(--samples 8 --length 16 --no-refit)
        else
            learn+=(--calibrate none)
        fi
        gqa-convert -q "${learn[@]}" --groups 2 $model $calibrate.gqa
        gqa-convert -q "${learn[@]}" --groups 2 --expand $model expanded.gqa
        gqa-convert -q "${learn[@]}" --groups 2 --no-regroup $model near.gqa
        for output in $calibrate expanded; do
            gqa-verify -q --samples 4 --length 16 --max-kl 1e-6 \
                --against $model "$output".gqa &&
                echo "$model, $output: equal"
        done
        gqa-verify -q --samples 4 --length 16 --max-kl 1e-6 \
            --against $model near.gqa >/dev/null ||
            echo "$model, neighbours: not equal"
        rm ./*.gqa
    done
done

# A layer whose heads do not share follows, since it reads the table; what stands
# in the table is held to the order, too.
gqa-convert -q -m aligned --calibrate none --layer-groups 0=2 --allow-hybrid \
    t5 one/
gqa-verify -q --samples 4 --length 16 --max-kl 1e-6 --against t5 one/ &&
    echo "t5, one layer: equal"
file=one/model.safetensors
change decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight \
    swap-columns 0 2 1
gqa-verify --no-run --against t5 one/ | grep -A 3 'weights   unchanged'

# On any number of threads alike
for threads in 1 3; do
    gqa-convert -q -t $threads -m aligned --samples 4 --length 16 --groups 3 \
        t5 $threads.gqa
done
cmp 1.gqa 3.gqa
