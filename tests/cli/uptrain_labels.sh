# The cross-entropy is a mean over what the data says that follows: nothing follows
# the last token. Where all sequences are one, what a step says of it is what a
# measure of the start says: the logarithm of the perplexity.
gqa-convert -q --groups 1 "$DATA/runtime/llama" model.gqa
for _ in {1..40}; do echo "5 9 2 7 11 3"; done >tokens
for loss in ce kl:0.5,ce:0.5; do
    gqa-uptrain -q -f --steps 1 --batch 2 --rate 1e-3 --eval-sequences 2 --dtype f64 --backend cpu \
        --loss "$loss" --tokens tokens --log log --write-start \
        --teacher "$DATA/runtime/llama" model.gqa out.gqa
    awk -v loss="$loss" '
        function of(name) {
            match($0, "\"" name "\": *[-+.e0-9]+")
            text = substr($0, RSTART, RLENGTH)
            sub(/.*: */, "", text)
            return text
        }
        /"measured": *0/ { ce = log(of("perplexity")); kl = of("kl") }
        /"loss"/ { said = of("loss") }
        END {
            right = loss == "ce" ? ce : (kl + ce) / 2
            print loss, said - right < 1e-6 && right - said < 1e-6 ? "is the mean" : said " is not " right
        }' log
    rm log
done
