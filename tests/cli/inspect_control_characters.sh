# Neither the name of a file nor that of a tensor may steer the terminal, in
# tables or in messages.
header='{"a\u202eb":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
file=$'\e[2J\xc2\x9b.safetensors'
printf '%b\0\0\0\0\0\0\0' "\x$(printf %02x ${#header})" >"$file"
printf '%s' "$header" >>"$file"
printf '\0\0\xc0\x7f' >>"$file" # NaN
gqa-inspect "$file"
gqa-inspect --stats "$file"
