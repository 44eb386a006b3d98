# Of a family that transformers has no grouped class for, a folder with grouped
# weights and a module that loads them: its text is the same for all models of a
# type, and the configuration tells it how many heads there are.
model=$DATA/sample/t5-tiny16
gqa-convert --remote-code -g 4 "$model" out/ | sed '/^time/d; /^input/d'
ls -A out
echo '== the module'
module=$SOURCE/convert/remote_code/modeling_grouped.py
n=$(wc -l <"$module")
cmp "$module" <(head -n "$n" out/modeling_grouped_t5.py)
tail -n "+$((n + 1))" out/modeling_grouped_t5.py
echo '== what it reads'
sed -n '/architectures/,/]/p; /num_key/p; /auto_map/,$p' out/config.json
# shellcheck disable=SC2016 # Markdown's
sed -n '/^library/p; /^```python/,/^```$/p' out/README.md
grep -c modeling out/gqa-manifest.json

echo '== numbers that differ by layer and kind, and those of the encoder'
gqa-convert -q --remote-code -l 0=8,1=2 -a decoder-self,encoder "$model" mixed/
sed -n '/num_key/p; /"key_value_heads"/,$p' mixed/config.json

echo '== fused layouts, and where an encoder and a decoder have heads of their own'
for name in runtime/gpt2 runtime/gpt_neox-nobias families/codegen families/bart families/whisper; do
    groups=1
    [[ $name == families/codegen ]] && groups=4
    gqa-convert -q --remote-code -g "$groups" "$DATA/$name" fused/
    sed -n '/^GROUPED/,/^)/p' fused/modeling_grouped_*.py
    tr -d ' \n' <fused/config.json | grep -oE '"[a-z_]*_value_heads":([{][^}]*}|[0-9]+)'
    rm -r fused
done

echo '== models within others, whose classes are those of the whole'
for name in blip2 trocr; do
    gqa-convert -q --remote-code -g 2 "$DATA/families/$name" inner/
    ls inner
    sed -n '/^GROUPED/,$p' inner/modeling_grouped_*.py
    tr -d ' \n' <inner/config.json |
        grep -oE '"(auto_map|architectures)":[[{][^]}]*[]}]|"[a-z_]*_value_heads":([{][^}]*}|[0-9]+)'
    gqa-convert -q --expand -g 1 inner back/
    grep -c -e auto_map -e Grouped -e '"key_value' back/config.json
    rm -r inner back
done

echo '== numbers that no word says'
gqa-convert -q --remote-code -g 4 "$DATA/families/falcon" words/
sed -n '/^GROUPED/,/^)/p' words/modeling_grouped_falcon.py
tr -d ' \n' <words/config.json | grep -oE '"[a-z_]*(kv_heads|value_heads|multi_query)":([{][^}]*}|[a-z0-9]+)'
gqa-verify --no-run --against "$DATA/families/falcon" words | sed -n '/ config /,/ parameters /p' | sed '$d'
sed -i 's/"multi_query": false/"multi_query": true/' words/config.json
gqa-verify --no-run --against "$DATA/families/falcon" words | sed -n '/ config /,/ parameters /p' | sed '$d'
rm -r words

echo '== an encoder'
gqa-convert -q --remote-code -a encoder -g 2 "$DATA/encoders/bert" words/
sed -n '/^GROUPED/,/^)/p' words/modeling_grouped_bert.py
rm -r words

echo '== what it was made for goes, where the heads are others'
gqa-convert -q --expand -g 4 out expanded/
ls expanded
grep -c -e auto_map -e Grouped -e '"key_value' expanded/config.json
gqa-convert -q --remote-code -g 2 out less/
cmp out/modeling_grouped_t5.py less/modeling_grouped_t5.py
sed -n '/"key_value_heads"/,$p' less/config.json
gqa-convert -q --remote-code --force -g 2 "$model" less/

echo '== a head that no class of the module reads'
cp -r "$DATA/families/mt5-answers" other
chmod -R u+w other
gqa-convert -g 1 --remote-code other read/ >/dev/null
sed -i 's/MT5ForQuestionAnswering/MT5ForOtherAnswers/' other/config.json
gqa-convert -g 1 --remote-code other read2/ >/dev/null
