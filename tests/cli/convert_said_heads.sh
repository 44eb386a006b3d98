# Where words of the configuration say how many KV heads there are, a folder has
# the one that is true, or is refused; gqa-verify holds it against the tensors.
words='"(multi_query|new_decoder_architecture|num_kv_heads)": [a-z0-9]+'
try() {
    local name=$1 && shift
    echo "== $name $*"
    rm -rf out
    gqa-convert -q "$@" "$DATA/families/$name" out/ || return 0
    grep -oE "$words" out/config.json
    gqa-verify -q --against "$DATA/families/$name" out/ && echo verified
}
try gpt_bigcode --groups 1
try gpt_bigcode --groups 4
try gpt_bigcode --groups 2
try gpt_bigcode --groups 2 --expand
try gpt_bigcode -l 0=4,1=1 --allow-hybrid
try gpt_bigcode-mqa --groups 1 --expand
try falcon --groups 1
try falcon --groups 2
try falcon-7b --groups 1
try falcon-7b --groups 1 --expand
try falcon-40b --groups 1
try falcon-40b --groups 2
try falcon-40b --groups 1 --expand
try falcon-40b -l 0=2,1=1 --allow-hybrid

echo '== a .gqa takes any number, and is no folder by that'
gqa-convert -q --groups 2 "$DATA/families/gpt_bigcode" two.gqa
gqa-verify -q --against "$DATA/families/gpt_bigcode" two.gqa && echo verified
gqa-convert -q -l 0=4,1=1 "$DATA/families/gpt_bigcode" mixed.gqa
gqa-verify -q --against "$DATA/families/gpt_bigcode" mixed.gqa && echo verified
for output in falcon.gqa falcon.safetensors; do
    gqa-convert -q --groups 2 "$DATA/families/falcon" $output
    gqa-verify -q --against "$DATA/families/falcon" $output && echo verified
done
rm -rf out
gqa-convert -q --groups 2 two.gqa out/ || gqa-convert -q --groups 1 two.gqa out/
grep -oE "$words" out/config.json
gqa-uptrain -q --steps 1 --teacher "$DATA/families/gpt_bigcode" two.gqa up/ || :

echo '== words that were left as they were'
sed -i 's/"multi_query": true/"multi_query": false/' out/config.json
gqa-verify --no-run out/ | sed -n '/ config /,/ parameters /p'
gqa-convert -q --groups 1 out/ again/ || echo "exit $?"
for word in falcon/multi_query/false/true falcon-40b/num_kv_heads/2/4; do
    IFS=/ read -r name key from to <<<"$word"
    cp -R "$DATA/families/$name" "$name"
    chmod -R u+w "$name"
    sed -i "s/\"$key\": $from/\"$key\": $to/" "$name/config.json"
    gqa-convert -q --groups 1 "$name" again/ || echo "exit $?"
done
