# Both are XML.
command -v xmllint >/dev/null || exit 77
for model in runtime/llama-grouped sample/t5-tiny16; do
    gqa-inspect -q --plan --html page.html --svg figure.svg -f "$DATA/$model"
    xmllint --noout page.html figure.svg
done
