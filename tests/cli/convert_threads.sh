for n in 1 2 7; do
    gqa-convert -q -g 4 --threads $n "$DATA/sample/t5-tiny16" $n.gqa
done
cmp 1.gqa 2.gqa
cmp 1.gqa 7.gqa
