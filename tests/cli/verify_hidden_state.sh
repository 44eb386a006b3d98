# Models that make no logits of tokens: what a head of theirs reads is compared.
run=(gqa-verify --backend cpu --samples 2 --length 24)

# shown ARGUMENT...: what is said of the runs, and of the whole
shown() {
    local status=0
    "${run[@]}" "$@" >out 2>err || status=$?
    echo "== $* -> $status"
    cat err
    sed -E -n '/^fidelity +/,/^exact/p' out |
        sed -E '/^ .*[0-9]/d; s/^(runtime .*passed).*/\1/
                s/(encoder|hidden state) [0-9].*/\1 X/'
    grep '^fidelity:' out | sed -E 's/off by.*/off/'
}

# An encoder alone, which takes no steps
encoder=$DATA/families/t5-encoder
gqa-convert -q --attention encoder -g 1 "$encoder" encoder.gqa
shown --against "$encoder" encoder.gqa
shown --scale --generate 3 --order layer --against "$encoder" encoder.gqa
# No limit of logits can be kept.
shown --max-kl 1 --against "$encoder" encoder.gqa
shown --profile initialiser --against "$encoder" encoder.gqa

# Classifiers of a text, of tokens, and a reader of answers
for name in t5-classes t5-tokens mt5-answers; do
    model=$DATA/families/$name
    gqa-convert -q -f --attention all -g 2 "$model" out.gqa
    "${run[@]}" --against "$model" out.gqa |
        grep -E '^(runtime|exact)' | sed -E 's/(passed|skipped).*/\1/'
done

# Heads of such models are aligned as others are.
for name in t5-encoder t5-classes; do
    model=$DATA/families/$name
    gqa-convert -q -f -m aligned --samples 4 --length 16 --attention all -g 2 \
        "$model" out.gqa
    "${run[@]}" --against "$model" out.gqa |
        grep -E '^(weights +grouped|exact)' | sed -E 's/aligned.*/aligned/'
done

# What a decoder reads where nothing else is given: its input, behind the start.
echo 5 9 4 31 >tokens
"${run[@]}" -q --dtype f64 --tokens tokens --dump-logits rows.safetensors \
    --against "$DATA/families/t5-classes" "$DATA/families/t5-classes"
gqa-inspect --tensors rows.safetensors | grep -E '(state|labels|input_ids)'

# A class of a decoder alone, which has a head in place of logits
cp -R "$DATA/runtime/llama-grouped" class
chmod -R u+w class
sed -e 's/"LlamaForCausalLM"/"LlamaForSequenceClassification"/' \
    -e 's/"tie_word_embeddings": true/"tie_word_embeddings": false/' \
    "$DATA/runtime/llama-grouped/config.json" >class/config.json
gqa-convert -q -g 2 class class.gqa
"${run[@]}" --against class class.gqa | grep -E '^(runtime|fidelity|exact)' |
    sed -E 's/(passed|skipped|reported) .*/\1/; s/off by.*/off/'
# It is not what makes logits.
gqa-verify --against class "$DATA/runtime/llama-grouped" |
    grep -m 1 -B 1 'cannot be compared'
