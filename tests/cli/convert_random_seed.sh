convert() {
    gqa-convert -q -g 4 -m random "$@"
}
convert "$DATA/sample/t5-tiny16" a.gqa
convert --seed 0 "$DATA/sample/t5-tiny16" b.gqa
convert --seed 1 "$DATA/sample/t5-tiny16" c.gqa
cmp a.gqa b.gqa
cmp -s a.gqa c.gqa && echo "two seeds, one result"
exit 0
