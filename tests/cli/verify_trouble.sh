# What could not be checked leaves no older report that says otherwise.
gpt2=$DATA/good/gpt2
cp -R "$DATA/runtime/llama" original
gqa-convert -q --groups 1 original model.gqa

try() {
    local status=0
    gqa-verify --backend cpu "$@" >out 2>err || status=$?
    echo "== $* -> $status"
    head -n 1 err
}
say() {
    grep -E '^  "(passed|error)": |<testsuite |<error|^## |\*\*error' "$1"
}

for report in report.json report.xml report.md; do
    try --report $report --against original --samples 1 --length 3 model.gqa
    try --report $report --against missing model.gqa
    say $report
done
# A word that is wrong, before or behind its name
for words in '--bogus --report=report.json' '--report report.json --bogus' \
    '--report=report.json' '--report report.json --samples 0 x'; do
    echo 'something older' >report.json
    # shellcheck disable=SC2086 # words
    try $words
    say report.json
done
# While models run
echo '99999' >tokens
try --report report.json --against original --tokens tokens model.gqa
say report.json
# On standard output, where that is for a program
for format in json tap markdown text; do
    try --format $format --against original --tokens tokens model.gqa
    grep -E '"error": |^Bail|error' out
done
# Standard output is full.
gqa-verify --report report.json "$gpt2" >/dev/full || echo "exit $?"
say report.json

# What is read is left alone, and so is what may be.
echo '1 2 3' >tokens.json
try --report tokens.json --bogus --tokens tokens.json --against original model.gqa
try --report tokens.json --tokens=tokens.json --bogus
try --report original/config.json --bogus --against original model.gqa
try --report original/notes.json --against missing original
try --report original/notes.json --bogus original
try --report config.json --against missing model.gqa
cat tokens.json
rm original/notes.json
diff -r "$DATA/runtime/llama" original && ls
