# What is printed has to arrive, or nothing appears: on a full disk, without a
# standard output, and into a pipe that nobody reads.
run() {
    gqa-convert -g 4 "$@" 2>&1 >&3 | tail -n 1
    echo "exit ${PIPESTATUS[0]}: $(ls -A)"
    rm -rf out*
}
all() {
    for output in out.gqa out.safetensors out/; do
        run "$DATA/sample/t5-tiny16" "$output"
        run --json "$DATA/sample/t5-tiny16" "$output"
    done
}
echo full
all 3>/dev/full
echo 'a pipe that nobody reads'
mkfifo pipe
exec 4<>pipe
exec 3>pipe 4<&- # its only reader is gone
rm pipe
all
exec 3>&-
echo missing
for output in out.gqa out.safetensors out/; do
    gqa-convert -g 4 "$DATA/sample/t5-tiny16" "$output" >&- 2>err
    echo "exit $?: $(cat err)"
    rm err
    ls -A
done
echo 'and not needed'
gqa-convert -q -g 4 "$DATA/sample/t5-tiny16" out.gqa >&-
echo "exit $?: $(ls -A)"
