gqa-convert -q --groups 2 "$DATA/good/qwen2" model.gqa
gqa-verify --no-run --format json --report report.xml --against "$DATA/good/qwen2" model.gqa
cat report.xml
