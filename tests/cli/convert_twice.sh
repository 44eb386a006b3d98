# A grouped checkpoint is grouped further, and remembers both steps.
gqa-convert -q -g 8 "$DATA/sample/t5-tiny16" eight.gqa
gqa-convert -q -g 2 eight.gqa two.gqa
gqa-inspect --recipe two.gqa
