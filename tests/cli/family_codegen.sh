# Heads in four blocks of [q|v|k], which stay four.
codegen=$DATA/families/codegen
gqa-inspect "$codegen" | sed -n '4,11p'
gqa-convert -q -g 2 "$codegen" out.gqa || echo $?
gqa-convert -q -g 4 "$codegen" out.gqa
gqa-inspect out.gqa | sed -n '/^stack/,/^ /p'
# GPT-Neo's kinds of layers, in both spellings
cp -R "$DATA/families/gpt_neo" changed
chmod -R u+w changed
try() {
    echo "== $1"
    sed "$1" "$DATA/families/gpt_neo/config.json" | tr -d '\n' |
        sed 's/"attention_layers": \[[^]]*\],//' >changed/config.json
    gqa-verify -q --against changed changed || echo $?
}
try ''
try 's/"local"/"near"/'
