# Ctrl-C while models run: nothing is half-written.
llama=$DATA/runtime/llama
gqa-convert -q --groups 1 "$llama" model.gqa
# Jobs of a script ignore SIGINT, but for one that asks.
(trap - INT; exec gqa-verify --backend cpu --samples 100000 --length 60 \
    --report report.xml --dump-logits logits.safetensors \
    --against "$llama" model.gqa >out 2>err) &
pid=$!
# Until it, and no longer the shell before it, catches SIGINT (bit 1 of the mask).
caught() {
    local mask
    [[ $(<"/proc/$pid/comm") == gqa-verify ]] || return
    mask=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$pid/status")
    ((0x$mask & 2))
}
until caught; do sleep 0.05; done
kill -INT "$pid"
status=0
wait "$pid" || status=$?
echo "exit $status"
cat out
grep -o 'interrupted$' err
ls
