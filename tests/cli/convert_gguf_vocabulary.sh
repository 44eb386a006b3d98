# The vocabulary of a folder's tokenizer.model, of as many tokens as the model
# has.
fill() {
    rm -rf folder
    mkdir folder
    cp "$DATA/$1/config.json" "$DATA/$1/model.safetensors" folder
    cp "$DATA/sentencepiece/$2.model" folder/tokenizer.model
}
fill runtime/llama bpe
cat >folder/tokenizer_config.json <<'END'
{
  "add_bos_token": true, "add_eos_token": false, "chat_template": "{{ x }}",
  "model_max_length": 1000000000000000019884624838656, "sp": NaN,
  "added_tokens_decoder": {
    "50": {"content": "<image>", "special": true},
    "51": {"content": "<user>", "special": false},
    "9999": {"content": "<of a larger one>"}
  }
}
END
gqa-convert --quiet --groups 1 folder bpe.gguf
grep -a -o -E 'tokenizer\.[a-z_.]*|\[PAD[0-9]*\]|<(unk|s|sep|image|user)>' \
    bpe.gguf |
    sed 's/\[PAD5[2-9]\]/[PAD5x]/' | uniq
# And on, as it is
gqa-convert --quiet --groups 1 bpe.gguf again.gguf
cmp <(grep -a -o 'tokenizer.ggml.tokens.*' bpe.gguf | head -c 2000) \
    <(grep -a -o 'tokenizer.ggml.tokens.*' again.gguf | head -c 2000)
gqa-verify --quiet --no-run --against folder again.gguf
echo "again: $?"

echo '== bytes'
# GPT-2's kind
fill runtime/gpt2 bpe
rm folder/tokenizer.model
cp "$DATA/bpe/tokenizer.json" folder
gqa-convert --quiet --groups 2 folder bytes.gguf
grep -a -o -E 'tokenizer\.[a-z_.]*|<.endoftext.>|Ġheads|Ġhe ads|\[PAD50\]|gpt-2' \
    bytes.gguf
gqa-verify --quiet --no-run --against folder bytes.gguf
echo "against the folder: $?"
sed -i 's/"use_regex":true/"use_regex":false/' folder/tokenizer.json
gqa-convert --groups 2 folder other.gguf | sed -n 2p

echo '== none'
fill runtime/llama unigram
gqa-convert --groups 1 folder unigram.gguf | sed -n 2p
grep -a -o -e no_vocab unigram.gguf
# Lines of tiktoken are no SentencePiece model; a tokenizer.json beside them is
# read.
fill runtime/gpt2 bpe
printf 'IQ== 0\nIg== 1\n' >folder/tokenizer.model
gqa-convert --groups 2 folder lines.gguf | sed -n 2p
grep -a -o -e no_vocab lines.gguf
cp "$DATA/bpe/tokenizer.json" folder
gqa-convert --groups 2 folder beside.gguf | sed -n 2p
cmp beside.gguf bytes.gguf
grep -a -o -e Ġheads beside.gguf

echo '== refused'
fill good/gpt2 bpe
gqa-convert --groups 1 folder new.gguf
head -c 300 "$DATA/sentencepiece/bpe.model" >folder/tokenizer.model
gqa-convert --groups 1 --dry-run folder new.gguf
fill runtime/llama bpe
echo '{"added_tokens_decoder": {"x": {"content": "y"}}}' >folder/tokenizer_config.json
gqa-convert --groups 1 folder new.gguf
echo '{' >folder/tokenizer_config.json
gqa-convert --groups 1 folder new.gguf
fill good/gpt2 bpe
rm folder/tokenizer.model
cp "$DATA/bpe/tokenizer.json" folder
gqa-convert --groups 1 folder new.gguf
fill runtime/gpt2 bpe
rm folder/tokenizer.model
sed 's/\["h","e"\]/"h e", 7/; s/"merges":\[/&[1, 2],/' "$DATA/bpe/tokenizer.json" \
    >folder/tokenizer.json
gqa-convert --groups 1 folder new.gguf
sed 's/"vocab":/"words":/' "$DATA/bpe/tokenizer.json" >folder/tokenizer.json
gqa-convert --groups 1 folder new.gguf
# Two tokens of one number, and merges that are none
again() {
    sed "$1" "$DATA/bpe/tokenizer.json" >folder/tokenizer.json
    gqa-convert --groups 1 folder new.gguf
}
again 's/"a":1,/"aa":1,&/'
again 's/"added_tokens":\[/&{"id":1,"content":"<x>"},/'
again 's/\["h","e"\]/["h","e "]/'
again 's/\["h","e"\]/["h","zz"]/'
again 's/\["h","e"\]/["h","d"]/'
# What a file of this kind cannot say
cp "$DATA/bpe/tokenizer.json" folder
mkdir large
cp "$DATA/runtime/llama/model.safetensors" large
for n in 4294967296 64.0 '"64"'; do
    sed -E "s/(\"max_position_embeddings\": )[0-9]+/\\1$n/" \
        "$DATA/runtime/llama/config.json" >large/config.json
    gqa-convert --groups 1 large new.gguf
done
rm -r large
printf '\377' >folder/chat_template.jinja
gqa-convert --groups 1 folder new.gguf
ls

echo '== templates'
# A file of its own counts more than one in the configuration, and of several
# that is the default's.
template() {
    gqa-convert --quiet --force --groups 2 folder chat.gguf
    grep -a -o -E 'tokenizer.chat_template.{12}\{\{ [a-z]+ \}\}' chat.gguf |
        grep -a -o '{{.*'
}
rm folder/chat_template.jinja
echo '{"chat_template": [{"name": "tool", "template": "{{ tools }}"},
    {"name": "default", "template": "{{ default }}"}]}' \
    >folder/tokenizer_config.json
template
printf '{{ files }}' >folder/chat_template.jinja
template
rm folder/tokenizer_config.json
template
