gqa-convert -q --groups 1 --expand --dtype bf16 "$DATA/good/gpt_neox-nobias" folder/
gqa-verify --no-run --against "$DATA/good/gpt_neox-nobias" folder
