# Where sequences come from, and what becomes of losses and parts of a model
sample=$DATA/sample/t5-tiny16/tf_model.h5
gqa-convert -q --groups 2 "$sample" model.gqa
text=notes
seq -s " is a number, and so is " 400 >notes
for i in {1..24}; do echo "$((i + 10)) 30 31 32|40 41 $((i + 50)) 1"; done >tokens
try() {
    echo "== $*"
    gqa-uptrain -q --steps 3 --batch 4 --length 24 --eval-sequences 4 \
        --rate 1e-3 --teacher "$sample" --force "$@" model.gqa out.gqa
    echo "exit $?"
    gqa-inspect --json --recipe out.gqa |
        grep -oE '"(from|share|n_held_out|n_sequences|kl|reverse_kl|temperature|top_k|cross_entropy|optimiser|schedule|warmup|accumulate|clip|weight_decay)": *[^,{}]*' |
        grep -vE '"kl": [0-9]+\.[0-9]{2}|n_held_out": 4' | tr -s '\n ' ' '
    echo
}
try --text "$text" --loss ce
try --tokens tokens --loss symmetric --optimiser adafactor
try --data - --schedule constant --warmup 0 <tokens
try --data "self:3,tokens,$text:0.5" --loss kl:0.75,ce:0.25
try --samples 8 --temperature 0.5 --top-k 40 --accumulate 2 --schedule cosine --clip 0 --weight-decay 0.5
try --train all
gqa-inspect --json --recipe out.gqa | grep -v ': "F32' | grep -c 'weight"'
try --train '*.layer_norm.weight,shared.weight'
gqa-verify --no-run --against "$sample" out.gqa | grep ^weights
# Converted first
gqa-uptrain -q --steps 3 --batch 2 --length 16 --eval-sequences 2 --rate 1e-3 \
    --teacher "$sample" --groups 8 --method mean made.gqa
echo "exit $?"
gqa-verify --no-run --against "$sample" made.gqa | grep ^weights
# To a folder, whose companions come along
mkdir model
gqa-convert -q --groups 2 --dtype bf16 "$sample" model/
echo '{}' >model/generation_config.json
gqa-uptrain -q --steps 3 --batch 2 --length 16 --eval-sequences 2 --rate 1e-3 \
    --teacher "$sample" model healed/
echo "exit $?"
ls healed
grep -o '"tool": "gqa-[a-z]* ' healed/gqa-manifest.json
gqa-convert -q --force --groups 2 "$sample" healed/
echo "exit $?"
grep -o '"tool": "gqa-[a-z]* ' healed/gqa-manifest.json
gqa-uptrain -q --force --steps 3 --batch 2 --length 16 --eval-sequences 2 \
    --rate 1e-3 --teacher "$sample" model healed/
echo "exit $?"
sed -n '/^---$/,/^---$/p; /^#/p; /^|/s/[0-9.]\+ [%|].*//p' healed/README.md | sed 's/| [0-9.]* *$/| N/'
gqa-verify --no-run --against model healed | grep -E '^(file|weights)' | sed 's/  *$//'
