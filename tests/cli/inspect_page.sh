# A page and a figure: what they say, in a folder whose name would be markup.
hostile='<script>alert("1 & 2")<'
cp -rL "$DATA/runtime/llama-grouped" "$hostile"
gqa-inspect -q --budget 80% --html page.html --svg figure.svg "$hostile"

text() {
    sed -e '/<style>/,/<\/style>/d' -e 's/<[^>]*>/ /g' -e 's/  */ /g' \
        -e '/^ *$/d' "$1"
}
text page.html
text figure.svg

echo "Nothing is fetched, and nothing runs:"
grep -icE 'src *=|href|@import|<script|<link|url\([^#]' page.html figure.svg

# What is there stays, unless --force is given, and what is read in any case.
try() {
    gqa-inspect -q "$@"
    echo "exit status $?"
}
try --html page.html "$hostile"
try --svg figure.svg --force "$hostile"
try --html page.html --svg figure.svg --force "$DATA/good/unknown-family"
try --html "$hostile/config.json" --force "$hostile"
try --html nowhere/page.html "$hostile"
# A model without a plan has heatmaps all the same.
try --html normed.html "$DATA/families/qwen3"
text normed.html | head -6
gqa-inspect --html full.html "$hostile" >/dev/full
ls
