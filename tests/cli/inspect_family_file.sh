# A family that is not built in: what is said with its description and
# without, and what is wrong with descriptions, in all tools.
builtin=$DATA/../../formats/families
sed -e 's/"family": "bloom"/"family": "flower"/' \
    -e 's/"bloom": {"stock"/"flower": {"stock"/' \
    -e 's/"model_type": "bloom"/"model_type": "flower"/' \
    "$builtin/bloom.json" >flower.json
for model in bloom bloom-base; do
    cp -R "$DATA/families/$model" "${model/bloom/flower}"
    chmod -R u+w "${model/bloom/flower}"
    sed -i 's/"model_type": "bloom"/"model_type": "flower"/' "${model/bloom/flower}/config.json"
done
gqa-inspect --family flower.json flower-base
gqa-inspect flower | head -3
sed 's/"scheme"/"sceme"/' flower.json >wrong.json
for command in "gqa-inspect --family wrong.json flower" \
    "gqa-convert -g 2 --family wrong.json flower out/" \
    "gqa-verify --family wrong.json flower"; do
    status=0
    $command || status=$?
    echo "${command%% *}: $status"
done
[[ ! -e out ]]
gqa-inspect --family none.json flower || echo $?
gqa-inspect --family flower.json "$DATA/good/llama" | sed -n 4,5p
# A type that the file does not name
for tool in gqa-inspect gqa-verify; do
    sed 's/"model_type": "phi"/"model_type": "tree"/' \
        "$DATA/families/phi/config.json" >flower-base/config.json
    $tool --family flower.json flower-base || echo $?
done
