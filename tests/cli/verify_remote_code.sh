# A folder that is loaded by a module of its own: as its original, where the
# module is there and is told the heads that the tensors have.
model=$DATA/sample/t5-tiny16
gqa-convert -q --remote-code -g 4 "$model" out/
config() {
    gqa-verify --no-run --against "$model" out | sed -n '/ config /,/ parameters /p' | sed '$d'
}
config
echo '== for what it is'
gqa-inspect out | sed -n '/^Family/p; /^decoder/p'
echo '== told other heads'
sed -i 's/"self": 4/"self": 8/' out/config.json
config
sed -i 's/"self": 8,//' out/config.json
config
echo '== without the module'
gqa-convert -qf --remote-code -g 4 "$model" out/
rm out/modeling_grouped_t5.py
config
echo '== of an original with code of its own'
cp -r "$model" own
chmod -R u+w own
sed -i '0,/{/s//{ "auto_map": {"AutoConfig": "own.T5Config", "AutoModel": "own.T5Model", "AutoTokenizer": ["own.T5Tokenizer", null]},/' \
    own/config.json
gqa-convert -qf --remote-code -g 4 own out/
model=own
tr -d ' \n' <out/config.json | grep -o '"Auto[CT][a-z]*":[^]]*]*'
config
sed -i 's/own.T5Tokenizer/other.T5Tokenizer/' out/config.json
config
echo '== a number for each layer, as save_pretrained() leaves it: without a recipe'
encoder=$DATA/families/t5-encoder
gqa-convert -qf --remote-code -a encoder -l 0=1,1=2 "$encoder" out/
forget_recipe out/model.safetensors
gqa-verify -q --against "$encoder" out && echo verified
sed -i 's/"encoder": \[/"other": [/' out/config.json
gqa-verify -q --against "$encoder" out || echo "exit $?"
