gqa-verify --report missing/report.xml "$DATA/good/qwen2"
