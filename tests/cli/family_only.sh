# One type, and a key that tells which description is meant: Baichuan's 13B has
# ALiBi, and LongT5's encoders are of two kinds.
cp -R "$DATA/families/baichuan" model
chmod -R u+w model
gqa-inspect model | grep -E '^(Family|decoder)'
sed -i 's/"hidden_size": 32/"hidden_size": 5120/' model/config.json
gqa-inspect model | grep -E '^(Family|decoder)'
gqa-inspect "$DATA/families/longt5" | grep -E '^(Family|encoder)'
gqa-inspect "$DATA/families/longt5-global" | grep -E '^(Family|encoder)'
sed 's/"only": null/"only": {"is": 3, "is_not": 4}/' "$DATA/families/baichuan_alibi.json" >own.json
gqa-inspect --family own.json model 2>&1 | grep own.json
