# A family that is not built in: what is said with its description and
# without, and what is wrong with descriptions, in all tools.
gqa-inspect --family "$DATA/families/bloom.json" "$DATA/families/bloom-base"
for model in bloom opt; do
    gqa-inspect "$DATA/families/$model" | head -3
done
sed 's/"scheme"/"sceme"/' "$DATA/families/bloom.json" >wrong.json
for command in "gqa-inspect --family wrong.json $DATA/families/bloom" \
    "gqa-convert -g 2 --family wrong.json $DATA/families/bloom out/" \
    "gqa-verify --family wrong.json $DATA/families/bloom"; do
    status=0
    $command || status=$?
    echo "${command%% *}: $status"
done
[[ ! -e out ]]
gqa-inspect --family none.json "$DATA/families/bloom" || echo $?
gqa-inspect --family "$DATA/families/bloom.json" "$DATA/good/llama" | sed -n 4,5p
# A type that the file does not name
for tool in gqa-inspect gqa-verify; do
    $tool --family "$DATA/families/bloom.json" "$DATA/families/opt" ||
        echo $?
done
