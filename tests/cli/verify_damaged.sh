# A byte of a frame: the content cannot be read, the rest is skipped.
sample=$DATA/sample/t5-tiny16/tf_model.h5
gqa-convert -q --store --groups 8 "$sample" model.gqa
printf '\377\377\377\377' | dd of=model.gqa bs=1 seek=500000 conv=notrunc status=none
set -o pipefail
gqa-verify --format tap --against "$sample" model.gqa |
    sed -E 's/frame [0-9]+ at byte [0-9]+/frame N/'
