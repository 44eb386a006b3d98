# What cannot be trained, and what gains nothing
sample=$DATA/sample/t5-tiny16/tf_model.h5
gqa-convert -q --groups 2 "$sample" model.gqa
gqa-convert -q --groups 2 --expand "$sample" expanded.gqa
gqa-convert -q --groups 16 "$sample" same.gqa
try() {
    echo "== $*"
    gqa-uptrain -q --steps 2 --batch 2 --length 16 --eval-sequences 2 "$@"
    echo "exit $?"
}
try model.gqa out.gqa
try --teacher "$sample" model.gqa out.txt
try --teacher "$sample" model.gqa -
try --teacher "$sample" model.gqa model.gqa --force
try --teacher same.gqa model.gqa same.gqa --force
try --teacher "$sample" expanded.gqa out.gqa
try --teacher "$sample" same.gqa out.gqa
try --teacher "$DATA/good/llama" model.gqa out.gqa
try --teacher "$DATA/runtime/llama" "$DATA/runtime/llama-grouped" out.gqa
try --teacher model.gqa "$sample" out.gqa
try --teacher "$sample" --train 'attention,*.nothing' model.gqa out.gqa
try --teacher "$sample" --loss mse model.gqa out.gqa
try --teacher "$sample" --data self:0 model.gqa out.gqa
try --teacher "$sample" --data self:abc model.gqa out.gqa
try --teacher "$sample" --data notes:nan model.gqa out.gqa
try --teacher "$sample" --data notes:nan:1 model.gqa out.gqa
try --teacher "$sample" --data -,- model.gqa out.gqa
# Neither tokens nor text; what standard input holds has no path
printf '5\0006\000' >wide
try --teacher "$sample" --data wide model.gqa out.gqa
try --teacher "$sample" --data - model.gqa out.gqa <wide
try --teacher "$sample" --tokens - model.gqa out.gqa </dev/null
rm wide
try --teacher "$sample" --samples 4 --text notes model.gqa out.gqa
try --teacher "$sample" --text missing model.gqa out.gqa
try --teacher "$sample" --warmup 3 model.gqa out.gqa
try --teacher "$sample" --rate 0 model.gqa out.gqa
try --teacher "$sample" --budget-time 3x model.gqa out.gqa
try --teacher "$sample" --budget-time 0.000001 model.gqa out.gqa
try --teacher "$sample" --every 3 model.gqa out.gqa
try --teacher "$sample" --store model.gqa out.safetensors
try --teacher "$sample" --groups 4 model.gqa out.gqa
try --teacher "$sample" --groups 3 out.gqa
try --teacher "$sample" --method mean model.gqa out.gqa
try --teacher "$sample" --groups 4
touch there.gqa
try --teacher "$sample" model.gqa there.gqa
echo "1 2 9999" >tokens
try --teacher "$sample" --tokens tokens model.gqa out.gqa
# What is told of the run replaces nothing that is read, or written
cp -r "$DATA/sample/t5-tiny16" original
echo some text >notes
for file in model.gqa original/tf_model.h5 original/config.json notes out.gqa; do
    for option in --log --html; do
        try --teacher original --force --text notes "$option" "$file" \
            model.gqa out.gqa
    done
done
try --teacher original --log told --html told model.gqa out.gqa
cmp original/tf_model.h5 "$sample"
cmp original/config.json "${sample%/*}/config.json"
gqa-verify -q --no-run model.gqa
echo "exit $?"
cat notes
rm -r original notes
# Nor does the state take the place of either
cp -r "$DATA/runtime/llama" original
gqa-convert -q --groups 1 original grouped/
mkdir apart
ln -s apart linked
for folder in placed placed/ ./apart/../placed original grouped grouped/. linked/new; do
    output=placed/
    [[ $folder == linked/new ]] && output=apart/new/
    try --teacher original --checkpoint "$folder" grouped "$output"
done
try --teacher original --checkpoint told --log told grouped placed/
try --teacher original --checkpoint told --html ./told --groups 1 placed/
diff -r original "$DATA/runtime/llama"
rm -r original grouped apart linked
# Near enough from the beginning
{
    try --teacher "$sample" --until-kl 1000 model.gqa out.gqa
    try --teacher "$sample" --until-kl 1000 --write-start --force model.gqa \
        there.gqa
} 2>&1 | sed 's/start, [0-9.]*/start, X/'
# No logits to learn by
gqa-convert -q -g 2 "$DATA/families/t5-classes" classes.gqa
try --teacher "$DATA/families/t5-classes" classes.gqa out.gqa
rm classes.gqa
# Rates that ruin it
try --teacher "$sample" --rate 1e30 --eval-every 2 model.gqa out.gqa
try --teacher "$sample" --rate 1e30 model.gqa out.gqa
try --teacher "$sample" --rate 1e9 --eval-every 1 model.gqa out.gqa
try --teacher "$sample" --rate 100 model.gqa out.gqa
try --teacher "$sample" --rate 100 --write-start model.gqa start.gqa
gqa-verify --no-run --against model.gqa start.gqa | grep ^weights
gqa-uptrain --teacher "$sample" --rate 100 --steps 1 --batch 2 --length 16 \
    --eval-sequences 2 model.gqa out.gqa | tail -n 2
ls -A
