# An embedding that is narrower than the stream, as OPT-350m has it, is
# converted, run and trained.
model=$DATA/families/opt-350m
gqa-inspect "$model" >/dev/null
gqa-convert -q --groups 2 "$model" model.gqa
gqa-verify -q --against "$model" model.gqa
gqa-convert -q --groups 1 "$model" one.gqa
gqa-uptrain -q --teacher "$model" --steps 2 --batch 2 --length 8 one.gqa out.gqa
gqa-verify -q --no-run out.gqa
