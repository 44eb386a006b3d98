# config.json changes in one place.
gqa-convert -q -g 8 "$DATA/sample/t5-tiny16" grouped/
gqa-convert -q --layer-groups 0=4 --allow-hybrid "$DATA/sample/t5-tiny16" \
    hybrid/
gqa-convert -q -g 8 --attention decoder-self "$DATA/sample/t5-tiny16" selfish/
gqa-convert -q -g 8 --expand "$DATA/sample/t5-tiny16" expanded/
gqa-convert -q -g 16 "$DATA/sample/t5-tiny16" same/
for folder in grouped hybrid selfish expanded; do
    echo "$folder"
    diff same/config.json $folder/config.json
done
exit 0
