# Heads in rows, in columns and interleaved; the same numbers for any number
# of threads.
for model in gpt2 llama-grouped gpt_neox; do
    gqa-inspect --stats --threads 1 "$DATA/good/$model" | tee one
    gqa-inspect --stats --threads 7 "$DATA/good/$model" | cmp one -
done
