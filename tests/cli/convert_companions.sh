# What lies beside the weights comes along where it is true of the result; what
# is not is left out, and said; the model card is made anew.
cp -r "$DATA/good/llama" model
cat >model/README.md <<'CARD'
---
license: other
license_name: llama3 # of the original
license_link: 'https://example.org/LICENSE: the text'
language:
- en
- no
tags: [best, fastest]
pipeline_tag: text-generation
base_model: org/base
datasets: ["a/b", c]
summary: >
  license: none of
  these lines is a key
---
# The best model there is
CARD
mkdir model/onnx
ln -s nowhere model/broken.txt
touch model/{LICENSE,NOTICE.txt,USE_POLICY.md,chat_template.jinja} \
    model/{tokenizer.model,modeling_x.py,.gitattributes} \
    model/{pytorch_model.bin,flax_model.msgpack,training_args.bin} \
    model/model.safetensors.index.fp16.json model/README_zh.md
echo '{}' >model/pytorch_model.bin.index.json
echo '{"dim": 24, "n_kv_heads": 12}' >model/params.json
echo '{"r": 4}' >model/adapter_config.json
echo '{"bits": 4}' >model/hf_quant_config.json
echo '{"eval_loss": 1}' >model/all_results.json
echo '{"model": {"decoder": {"num_key_value_heads": 12}}}' >model/genai.json
echo '{"model": {"decoder": {"num_key_value_heads": 4}}}' >model/as_written.json
echo '{"model": [1, {"n_head": 12}], "x": null}' >model/other.json
echo 'no JSON' >model/note.json
echo 'num_key_value_heads: 12' >model/config.yaml
echo '"num_key_value_heads": 12' >model/config.json.bak
echo 'num_key_value_heads: 4' >model/right.yml
touch model/events.out.tfevents.1.host model/imatrix.dat
gqa-convert -j -g 4 model out/ >json
sed -n '/left_out/,/^  \]/p' json
gqa-convert -f -g 4 model out/ 2>&1 | sed -n '/^left/,/more/p'
ls -A out
cat out/README.md
gqa-verify -q --no-run --against model out

echo '== its name on the Hub, and a family that stock loaders do not group'
cp -r "$DATA/good/gpt_neox-nobias" neox
sed -i 's/{/{"_name_or_path": "org\/neox",/; ' neox/config.json
gqa-convert -q -g 1 neox out-neox/
sed '/^## How it was made/,$d' out-neox/README.md
gqa-convert -qe -g 1 neox out-expanded/
# shellcheck disable=SC2016 # Markdown's
sed -n '/^library/p; /^```python/,/^```$/p' out-expanded/README.md

echo '== code of its own'
cp -r "$DATA/good/llama" coded
sed -i 's/{/{"auto_map": {"AutoModel": "modeling_x.XModel"},/' coded/config.json
touch coded/modeling_x.py
gqa-convert -g 1 coded out-coded/ | tail -n 2

echo '== nothing is changed but the container: its own card holds'
gqa-convert -q -g 4 out again/
cmp out/README.md again/README.md
gqa-convert -q -g 4 model model.gqa
gqa-convert -q -g 4 model.gqa none/
sed '/^## How/,$d' none/README.md

echo '== cards that say nothing, or what is no card'
for text in '' '---' '---\nlicense: mit' 'license: mit' '---\nlicense: |\n  mit\n---' \
    '---\nlicense: mit\n  and more\n---' '---\nlicense: {a: b}\nlanguage: [en\n---' \
    '---\nlicense: "a\\nb"\nlanguage: [a, [b], "c"]\n---' '---\r\nlicense: mit\r\n---\r\n' \
    '---\nlicense: \xff\xfe\n---'; do
    # shellcheck disable=SC2059
    printf -- "$text" >model/README.md
    gqa-convert -qf -g 4 model out/
    sed -n '2,/^---/p' out/README.md | grep -E '^(license|language|base)' |
        tr '\n' ' '
    echo "($text)"
done

echo '== blocks that tell KV heads'
blocks='"block_configs": [{"attention": {"n_heads_in_group": 1, "no_op": false}}],
    "num_kv_heads": 12, "n_head_kv": [12], "attn": {"kv_n_heads": 12}, "other": [{"x": 12}],'
cp -r "$DATA/good/llama" blocks
sed -i "0,/{/s//{${blocks//$'\n'/ }/" blocks/config.json
gqa-convert -q -g 4 blocks quiet/
gqa-convert -g 4 blocks grouped/ >summary
tr -d ' \n' <grouped/config.json | grep -oE '"(block_|num_k|n_head_|other).*"other[^]]*.'
gqa-verify --no-run --against blocks grouped | grep config
