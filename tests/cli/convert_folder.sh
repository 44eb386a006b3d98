gqa-convert -q -g 8 "$DATA/sample/t5-tiny16" grouped
ls grouped
diff "$DATA/sample/t5-tiny16/config.json" grouped/config.json
exit 0
