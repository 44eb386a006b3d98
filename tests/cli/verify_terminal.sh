# On a terminal: checks as they come, and bars no wider than it.
command -v script >/dev/null || exit 77
llama=$DATA/runtime/llama
gqa-convert -q --groups 1 "$llama" model.gqa

# terminal COLUMNS COMMAND: what the terminal gets
terminal() {
    TERM=xterm SHELL=/bin/sh script -qec "stty cols $1; $2" /dev/null </dev/null |
        tr -d '\r\004\b' | sed 's/^^D//'
}
verify="gqa-verify --backend cpu --samples 2 --length 9 --against $llama model.gqa"

esc=$(printf '\033')
terminal 80 "$verify" >out
tr "$esc" '\n' <out | grep -oE '(reading|comparing the weights|loading a model|drawing samples|running the original|running the reference|comparing the converted model|checking the runtime)$' | uniq
# The same checks in the same order as in a pipe, the end too.
plain() {
    sed -E "s/.*$esc\[K//" | grep -E '^(file|weights|runtime|fidelity|exact)\b' |
        sed -E 's/ +/ /g'
}
$verify | plain >pipe
plain <out | diff pipe - && echo "the same"
for columns in 1 2 9 20 40; do
    terminal $columns "$verify" | tr "$esc" '\n' |
        sed -nE 's/^\[K//; /^(reading|comp|load|draw|running|check| *[0-9]+%)/p' |
        awk -v columns=$columns 'length($0) >= columns {
            print columns ": " $0
        }'
done
terminal 40 "gqa-verify -q --backend cpu --samples 2 --length 9 --against $llama model.gqa"
terminal 40 "gqa-convert --groups 1 $llama again.gqa >/dev/null" | grep -o writing
