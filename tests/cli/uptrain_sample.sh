# The sample, whose heads were pooled, is brought nearer to what it was; all
# that was not trained stays what it was.
sample=$DATA/sample/t5-tiny16/tf_model.h5
gqa-convert -q --groups 4 "$sample" model.gqa
gqa-uptrain -j --steps 8 --batch 4 --length 32 --eval-sequences 4 --log log \
    --html page.html \
    --teacher "$sample" model.gqa healed.gqa >summary
echo "exit $?"
sed -nE 's/^  "(gained|written|n_trained|n_values|dry_run)"/\1/p' summary
value() {
    grep -oE "\"$1\": *[-+.e0-9]+" summary | sed 's/.*: *//' | head -n "$2" | tail -n 1
}
# Of the measures, the first and the last
first=$(value kl 3)
last=$(grep -oE '"kl": *[-+.e0-9]+' summary | sed 's/.*: *//' | tail -n 1)
awk -v a="$first" -v b="$last" 'BEGIN { print (b < a / 2) ? "less than half" : a " " b }'
cut -d : -f 1 log | sort | uniq -c | sed 's/^ *//'
grep -c "<circle" page.html
gqa-verify --no-run --against "$sample" healed.gqa |
    grep -E '^(file|weights)' | sed 's/  *$//'
gqa-verify --no-run --against model.gqa healed.gqa | grep ^weights
gqa-inspect --recipe healed.gqa | sed 's/gqa-\([a-z]*\) [0-9.]*/gqa-\1 X/; s/^step .*/step kl top1/' |
    grep -vE '^ *(xxh3|source_xxh3|software|device|rate|kl_|[0-9]+ )|F32 [0-9a-f]' | head -n 60
