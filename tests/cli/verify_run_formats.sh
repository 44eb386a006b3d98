# What ran, where and on what is in each form of a report.
cp -R "$DATA/runtime/llama" original
gqa-convert -q --groups 1 original model.gqa
for format in text tap; do
    gqa-verify --backend cpu --samples 2 --length 9 --format $format \
        --report report.xml --max-kl 1e-9 --min-top1 1 \
        --against original model.gqa >"out.$format"
    echo "$format: exit $?"
    sed -E -f "$CLI/join.sed" "out.$format" |
        grep -E '^(# )?(tool|libraries|backend|device|software|dtype|data)'
done
(($(wc -L <out.text) <= 80)) || cat out.text
grep -A 1 'not ok' out.tap
sed -n '/<properties>/,/<\/properties>/p' report.xml
grep '<failure' report.xml
