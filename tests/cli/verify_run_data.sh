# Tokens from files, what is shown beside, and the same figures twice.
llama=$DATA/runtime/llama
t5=$DATA/runtime/t5-v1_1
gqa-convert -q --groups 1 "$llama" llama.gqa
gqa-convert -q --groups 2 "$t5" t5.gqa

show() {
    gqa-verify --backend cpu --against "$@" |
        sed -E -f "$CLI/join.sed" | sed -E -f "$CLI/rounding.sed" |
        sed -n '/^data/,/^$/p; /^fidelity/,/^$/p'
}

show "$llama" --tokens "$llama/reference.safetensors" --generate 3 llama.gqa
show "$t5" --tokens "$t5/reference.safetensors" --scale t5.gqa
echo '1 5 9 60 | 3 4
2 2 2' >numbers
show "$t5" --tokens numbers --length 9 t5.gqa
gqa-verify --backend cpu --samples 2 --length 20 --seed 7 --format json \
    --against "$llama" llama.gqa | grep -v '"seconds"' >first
gqa-verify --backend cpu --samples 2 --length 20 --seed 7 --format json \
    --threads 1 --against "$llama" llama.gqa | grep -v '"seconds"' >second
diff <(grep -v software first) <(grep -v software second) && echo same
gqa-verify --backend cpu --samples 2 --length 20 --seed 8 --format json \
    --against "$llama" llama.gqa | grep -v '"seconds"' >third
cmp -s first third || echo another
gqa-verify -q --backend cpu --samples 3 --length 20 \
    --dump-logits logits.safetensors --against "$llama" llama.gqa
head -c 600 logits.safetensors | tail -c +9 | grep -ao '{.*}}' | sed 's/,"__metadata__.*//'
