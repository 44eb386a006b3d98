# A configuration inside a file and a config.json beside it: what holds for
# the file says one thing. Beside other weights it is theirs.
try() {
    local status=0
    gqa-verify --no-run "$@" >out || status=$?
    echo "== $* -> $status"
    sed -n '/^file *config/,/^file *co[mn][pt]/{/^file *co[mn][pt]/!p;}' out
}

llama=$DATA/good/llama
mkdir alone both folder
gqa-convert -q --groups 2 "$llama" alone/model.gqa
try alone/model.gqa
cp "$llama/config.json" alone
try alone/model.gqa
try --against "$llama" alone/model.gqa
sed 's/"num_key_value_heads": 12/"num_key_value_heads": 2/' \
    "$llama/config.json" >alone/config.json
try alone/model.gqa

# The original's own is beside the original.
cp "$llama/config.json" "$llama/model.safetensors" both
gqa-convert -q --groups 2 both both/grouped.gqa
try both/grouped.gqa
try --against both both/grouped.gqa

gqa-convert -q --groups 2 "$llama" folder/model.safetensors
cp "$llama/config.json" folder
try --against "$llama" folder
echo '{' >folder/config.json
try folder
gqa-verify --json --no-run --against "$llama" alone/model.gqa |
    grep -A 1 '"differences"'
