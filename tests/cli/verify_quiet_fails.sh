gqa-convert -q --store --groups 1 "$DATA/good/gpt_neox-nobias" model.gqa
truncate -s -1 model.gqa
gqa-verify -q model.gqa
