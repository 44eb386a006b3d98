gqa-verify "$DATA/good/llama" >/dev/full
gqa-verify --no-run --report report.json "$DATA/good/llama" >/dev/full
ls
