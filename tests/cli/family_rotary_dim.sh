# No head has as many elements as the configuration wants rotated.
cp -R "$DATA/families/gptj" gptj
chmod u+w gptj/config.json
sed -i 's/"rotary_dim": 6/"rotary_dim": 10/' gptj/config.json
gqa-inspect gptj
