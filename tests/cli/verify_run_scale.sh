# The measure of first heads is what a conversion by first heads gives.
sample=$DATA/sample/t5-tiny16/tf_model.h5
gqa-convert -q --method first --groups 8 "$sample" first.gqa
gqa-verify --backend cpu --samples 2 --length 24 --scale --format json \
    --against "$sample" first.gqa >out

# figure CHECK KEY: a number of the report
figure() {
    sed -n "/\"name\": \"$1\"/,/\"seconds\"/s/.*\"$2\": \([-+0-9.e]*\).*/\1/p" out
}

awk -v a="$(figure kl mean)" -v b="$(figure scale-first kl_mean)" \
    'BEGIN { d = a - b; print (a > 0 && d * d <= 1e-8 * a * a) ? "same" : a " " b }'

# Beside what is aligned: the mean, as a conversion by it gives.
gqa-convert -q --groups 8 "$sample" mean.gqa
gqa-convert -q -m aligned --calibrate none --groups 8 "$sample" aligned.gqa
run=(gqa-verify --backend cpu --samples 2 --length 24 --format json)
"${run[@]}" --against "$sample" mean.gqa >out
mean=$(figure kl mean)
"${run[@]}" --scale --against "$sample" aligned.gqa >out
awk -v a="$mean" -v b="$(figure scale-mean kl_mean)" \
    'BEGIN { d = a - b; print (a > 0 && d * d <= 1e-8 * a * a) ? "same" : a " " b }'
