# A folder that transformers loads by a module of its own stays one.
gqa-convert -q --remote-code -g 4 "$DATA/sample/t5-tiny16" grouped/
gqa-uptrain -q --steps 4 --rate 1e-3 --batch 2 --length 32 \
    --teacher "$DATA/sample/t5-tiny16" grouped out/
cmp grouped/modeling_grouped_t5.py out/modeling_grouped_t5.py
cmp <(sed -n '/auto_map/,$p' grouped/config.json) <(sed -n '/auto_map/,$p' out/config.json)
gqa-verify --no-run --trained --against "$DATA/sample/t5-tiny16" out |
    sed -n '/ config /,/ parameters /p' | sed '$d'
# One that is made here gets it where that is asked for.
gqa-uptrain -q --write-start --steps 1 --rate 1e-3 --batch 1 --length 16 \
    --teacher "$DATA/sample/t5-tiny16" --method mean --groups 4 --remote-code made/
cmp grouped/modeling_grouped_t5.py made/modeling_grouped_t5.py
cmp <(sed -n '/auto_map/,$p' grouped/config.json) <(sed -n '/auto_map/,$p' made/config.json)
gqa-verify --no-run --trained --against "$DATA/sample/t5-tiny16" made |
    sed -n '/ config /,/ parameters /p' | sed '$d'
# Also where words cannot say how many KV heads there are.
gqa-convert -q --remote-code -g 2 "$DATA/families/gpt_bigcode" two/
gqa-uptrain -q --write-start --steps 1 --rate 1e-3 --batch 1 --length 16 \
    --teacher "$DATA/families/gpt_bigcode" two trained/
cmp two/modeling_grouped_gpt_bigcode.py trained/modeling_grouped_gpt_bigcode.py
cmp two/config.json trained/config.json
rm -r two trained
gqa-uptrain --steps 2 --teacher "$DATA/sample/t5-tiny16" --remote-code grouped no/
gqa-uptrain --steps 2 --teacher "$DATA/runtime/llama" --groups 1 --remote-code no/
ls
