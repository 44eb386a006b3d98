gqa-verify --format tap --report report.json "$DATA/good/qwen2"
ls
