# Tokens of a file are taken as gqa-verify takes them: an encoder-decoder's
# labels are drawn where there are none, and a sequence is no longer than the
# model has positions.
kl() {
    gqa-verify --json --tokens inputs --against "$1" "$2" |
        sed -n '/"name": "kl"/,/"mean"/s/.*"mean": \([0-9.e-]*\).*/\1/p'
}
for i in {1..24}; do
    for j in {1..9}; do echo -n "$((i * j % 40 + 4)) "; done; echo
done >inputs
sed 's/$/ | 3 4 5/' inputs | head -n 12 >some
tail -n 12 inputs >>some
for model in runtime/t5-v1_1 families/bart; do
    original=$DATA/$model
    gqa-convert -q -f --groups 1 "$original" mean.gqa
    for tokens in inputs some; do
        gqa-convert -q -f -m aligned --calibrate $tokens --groups 1 "$original" \
            out.gqa && awk -v m="$(kl "$original" mean.gqa)" \
            -v a="$(kl "$original" out.gqa)" -v what="$model, $tokens" \
            'BEGIN { print what ": " (a < m ? "less than the mean" : a " " m) }'
    done
done
gqa-inspect -q --plan --calibrate inputs "$DATA/runtime/t5-v1_1" && echo planned

seq -s ' ' 0 24 >long
for options in '' '--length 24'; do
    # shellcheck disable=SC2086
    gqa-convert -q -f -m aligned --calibrate long $options --groups 1 \
        "$DATA/runtime/gpt2" out.gqa
    echo "exit $?"
done
