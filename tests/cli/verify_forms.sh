# What gqa-convert writes is right for gqa-verify: every method and option in
# every form, second conversions, repacked ones. Silent where all pass.
t5=$DATA/sample/t5-tiny16
llama=$DATA/runtime/llama
gpt2=$DATA/runtime/gpt2

failed=0
# passes ORIGINAL CONVERTED WORD: all checks pass, and `grouped` says WORD
passes() {
    if ! gqa-verify --no-run --against "$1" "$2" >out ||
        ! tr -s ' \n' ' ' <out | grep -q "$3"; then
        echo "$2 against $1:"
        cat out
        failed=1
    fi
}

forms=("x.gqa" "x.safetensors" "x/" "x/ --shard-size=300K")
n=0
# Each way to convert in two forms, which change from one to the next.
all_forms() {
    local original=$1 form i
    shift
    for i in 0 2; do
        form=${forms[(n + i) % 4]}
        n=$((n + 1))
        rm -rf x*
        # shellcheck disable=SC2086
        gqa-convert -q "$@" "$original" $form
        passes "$original" "${form%% *}" "weights grouped passed"
    done
}

for method in mean first random; do
    all_forms "$t5" -g 4 -m $method
    all_forms "$t5" -g 4 -m $method --expand --attention all --dtype f16
    all_forms "$gpt2" -g 1 -m $method --dtype bf16
    all_forms "$llama" -g 1 -m $method --expand --layer-groups 1=3
done
all_forms "$t5" -g 8 --layer-groups 0=2 --attention decoder-cross --allow-hybrid
all_forms "$gpt2" -g 1 --expand --layer-groups 1=2
all_forms "$gpt2" -g 2 --dtype f16

# 16, 8, 2: two conversions, against the original and against the first.
two_steps() {
    rm -rf one two*
    gqa-convert -q -g 8 "${first[@]}" "$t5" one/
    gqa-convert -q -g 2 "${second[@]}" one two.gqa
    passes "$t5" two.gqa "2 conversions"
    passes one two.gqa "weights grouped passed"
    gqa-convert -q -g 2 two.gqa two/
    passes "$t5" two "2 conversions"
    passes two.gqa two "weights recipe passed that of the original"
}
first=(--dtype bf16) second=()
two_steps
first=(-m random --dtype f16) second=(--dtype f32)
two_steps
first=(--expand) second=(-m first)
two_steps
first=(-m first --expand --dtype bf16) second=(-m random --seed 3)
two_steps

rm -rf one two*
gqa-convert -q -g 2 --dtype f16 "$gpt2" one/
gqa-convert -q -g 1 --dtype f32 one two/
passes "$gpt2" two "2 conversions"

# Repacked in several hops, with and without a recipe to begin with.
gqa-convert -q -g 4 -m random "$t5" hop.gqa
gqa-convert -q -g 4 hop.gqa hop.safetensors
gqa-convert -q -g 4 --shard-size 1M hop.safetensors hop/
gqa-convert -q -g 4 hop last.gqa
passes "$t5" last.gqa "weights recipe passed random"
gqa-convert -q -g 4 "$t5" plain/
forget_recipe plain/model.safetensors
gqa-convert -q -g 4 plain plain.gqa
passes "$t5" plain.gqa "is not recorded"
gqa-convert -q -g 2 plain plain2.gqa
passes "$t5" plain2.gqa "is not recorded"
exit $failed
