# Files of PyTorch, in both of its forms, in shards and as trainers save them:
# the conversion is that of the same tensors in safetensors, bit for bit.
data() {
    tail -c "+$(($(od -An -t u8 -N 8 "$1") + 9))" "$1"
}
same() {
    gqa-convert --quiet --force --groups 1 "$DATA/torch/$1" torch.safetensors
    gqa-convert --quiet --force --groups 1 "$DATA/good/$2" st.safetensors
    cmp <(data torch.safetensors) <(data st.safetensors) && echo "$1: $2"
}
same zip llama
same old gpt2
same sharded t5-sharded
same trainer llama
gqa-convert --groups 2 --dry-run "$DATA/torch/trainer" out.gqa
gqa-inspect "$DATA/torch/trainer/step-3.ckpt" 2>&1 | sed "s|$DATA|DATA|"

# What loaders take first is taken first.
cp -r "$DATA/torch/zip" both
chmod -R u+w both
gqa-inspect both | sed -n 2p
cp "$DATA/good/llama/model.safetensors" both
gqa-inspect both | sed -n 2p
# What stands beside weights in files of the same kind is none.
mkdir trained
cp "$DATA/torch/trainer/"* trained
chmod -R u+w trained
cp trained/step-3.ckpt trained/optimizer.pt
cp trained/step-3.ckpt trained/training_args.bin
echo 'tokens, tokens, tokens' >trained/tokens.bin
gqa-inspect trained | sed -n 2p
cp trained/step-3.ckpt trained/step-4.ckpt
gqa-inspect trained


# Nothing of a pickle is run: what it refers to is not even looked for.
{
    printf '\200\002\212\012\154\374\234\106\371\040\152\250\120\031.'
    printf '\200\002M\351\003.\200\002}X\015\000\000\000little_endian\210s.'
    printf '\200\002cposix\nsystem\nX\004\000\000\000ls >\205R.'
} >evil.pt
gqa-inspect evil.pt

# Several state dicts in one file: one is read by its name. The form of before
# 1.6, by each protocol of pickles, holds the same.
for file in new old-2 old-3 old-4 old-5; do
    gqa-inspect --tensors --state-dict=state.ema "$DATA/torch/several/$file.pt" \
        >ema-$file
    cmp ema-new ema-$file
done
cat ema-new
gqa-inspect --tensors --stats --state-dict same "$DATA/torch/several/new.pt" |
    tail -2
gqa-inspect "$DATA/torch/several/new.pt"
gqa-inspect --state-dict ema "$DATA/torch/several/old-4.pt"

# No other file has state dicts; of two, one is enough.
llama=$DATA/runtime/llama
gqa-inspect --state-dict ema "$llama" || echo "$?"
gqa-convert --state-dict ema -g 1 "$llama" none.gqa || echo "$?"
gqa-verify --state-dict ema --no-run --against "$llama" "$llama" || echo "$?"
gqa-uptrain --state-dict ema --groups 1 --teacher "$llama" none.gqa || echo "$?"
