# --strict refuses them, and writes nothing.
status=0
gqa-convert -g 1 --strict "$DATA/good/flat-late" out.safetensors || status=$?
ls
exit "$status"
