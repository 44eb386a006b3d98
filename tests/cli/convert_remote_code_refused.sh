# --remote-code is refused where it is of no use, before anything is written.
refused() {
    "$@" && echo 'not refused'
    [[ ! -e out && ! -e out.gqa ]]
}
refused gqa-convert --remote-code -g 4 "$DATA/good/llama" out/
refused gqa-convert --remote-code -g 2 "$DATA/families/qwen" out/
refused gqa-convert --remote-code -g 2 "$DATA/families/musicgen" out/
refused gqa-convert --remote-code -g 1 "$DATA/families/falcon" out/
refused gqa-convert --remote-code -g 2 "$DATA/families/llava" out/
refused gqa-convert --remote-code -a encoder -g 2 "$DATA/encoders/vit" out/
refused gqa-convert --remote-code -g 4 "$DATA/sample/t5-tiny16" out.gqa
refused gqa-convert --remote-code --expand -g 4 "$DATA/sample/t5-tiny16" out/
echo '== where it would help it is named'
refused gqa-convert -g 2 "$DATA/families/falcon" out/
refused gqa-convert -l 0=8,1=2 "$DATA/sample/t5-tiny16" out/
gqa-convert -n -g 4 "$DATA/sample/t5-tiny16" out/ | sed -n '/^$/,$p'
