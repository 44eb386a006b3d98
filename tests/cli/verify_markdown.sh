# A summary for the page of a CI job: a table, and nothing of the text is a mark.
cp -R "$DATA/runtime/llama" 'an|original'
gqa-convert -q --groups 1 'an|original' model.gqa
gqa-verify --backend cpu --samples 2 --length 9 --format markdown --min-top1 1 \
    --report report.md --against 'an|original' model.gqa >out || echo "exit $?"
cmp out report.md && sed -E -f "$CLI/rounding.sed" out
