# A signal that comes when the output has appeared ends the tool all the same, as
# it would a moment later, and the output is whole. Standard error is a pipe that
# is full, so that the tool waits with what it says behind its output: of values
# that are not finite.
cp -R "$DATA/runtime/llama" model
break_weights model/model.safetensors model.norm.weight nan 5
mkfifo full
exec 3<>full
dd if=/dev/zero of=/proc/self/fd/3 bs=4096 oflag=nonblock 2>/dev/null || true
for signal in INT TERM HUP; do
    status=0
    (trap - INT; exec gqa-convert --groups 1 model out.gqa >said 2>&3) &
    pid=$!
    until [[ -e out.gqa ]]; do sleep 0.05; done
    kill "-$signal" "$pid"
    { wait "$pid" || status=$?; } 2>/dev/null
    kill -l "$status"
    gqa-inspect out.gqa >said && echo whole
    ls -A
    rm out.gqa
done
