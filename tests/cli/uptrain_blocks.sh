# What blocks are made of is gone back through: experts, what is clipped and what
# is scaled before it is added, an activation's own constants, positions behind a
# norm, frames and their convolutions, several codes, places, streams of what was
# normed, heads that turn at their ends. On any number of threads the
# bytes are the same.
for name in mixtral qwen2_moe phimoe granite granitemoe granitemoeshared glm4_moe olmoe-clip apertus blenderbot_small \
    whisper speech_to_text musicgen gpt2-cross t5gemma chatglm udop bloom-normed; do
    rm -f ./*.gqa
    echo "== $name"
    gqa-convert -q -f -g 1 "$DATA/families/$name" out.gqa
    for threads in 1 2; do
        gqa-uptrain -q -f --backend cpu -t "$threads" --steps 4 --rate 1e-3 --batch 2 --length 10 \
            --samples 8 --eval-sequences 4 --train all --teacher "$DATA/families/$name" out.gqa "$threads.gqa"
        echo "exit $?"
    done
    cmp 1.gqa 2.gqa && echo "the same"
done
# With attentions alone what is between them stays what it was
gqa-convert -q -f -g 1 "$DATA/families/qwen2_moe" out.gqa
gqa-uptrain -q -f --backend cpu --steps 4 --rate 1e-3 --batch 2 --length 10 --samples 8 --eval-sequences 4 \
    --teacher "$DATA/families/qwen2_moe" out.gqa trained.gqa
echo "exit $?"
gqa-verify --no-run --against "$DATA/families/qwen2_moe" trained.gqa | grep -E 'FAILED|PASSED'
# What rows are drawn for is told
for name in whisper gpt2-cross; do
    gqa-convert -q -f -g 1 "$DATA/families/$name" out.gqa
    gqa-uptrain --dry-run --backend cpu --length 10 --teacher "$DATA/families/$name" out.gqa other.gqa >plan
done
